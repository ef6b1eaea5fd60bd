// `x-tdist-force-route`: the client says which way its request shall take, so that two ways can be
// compared on one deployment (`tdist verify`). It chooses among workers that are there anyway.

import { type Route, routes } from '../protocol/request.ts';
import { Fault } from '../std/fault.ts';
import { clip } from './fault.ts';

const header = 'x-tdist-force-route';

/** Null: the router decides. */
export function forcedRoute(headers: Headers): Route | null {
  const wanted = headers.get(header);
  if (wanted === null) return null;
  const route = routes.find((name) => name === wanted.trim());
  if (route !== undefined) return route;
  throw new Fault(
    'invalid_request',
    `${header}: ${JSON.stringify(clip(wanted, 100))}: wanted one of ${routes.join(', ')}.`,
    { param: header },
  );
}
