// The table of routes in Elysia. It matches paths; bodies stay unread (`parse: 'none'`, we read them
// ourselves) and methods unmatched, so that 405, HEAD and OPTIONS are the same everywhere.

import { Elysia } from 'elysia';
import { Fault, toFault } from '../std/fault.ts';
import { addressOf, noteAddress } from './address.ts';
import type { CorsPolicy } from './cors.ts';
import { errorResponse } from './fault.ts';
import type { Gateway } from './gateway.ts';
import type { Answer } from './listener.ts';
import { answerRoute, type Route } from './route.ts';
import { routes } from './routes.ts';

export function buildApp(gateway: Gateway, cors: CorsPolicy, isEncrypted: boolean): Answer {
  // `standardHostname`: Elysia looks for the path from the 12th character of the URL on, else from the
  // 8th. The one does not find it behind `http://` and a short host, the other not behind `https://`.
  const app = new Elysia({ systemRouter: false, handler: { standardHostname: isEncrypted } });
  const addresses = new WeakMap<Request, string>();
  const answer = (route: Route | null, request: Request): Promise<Response> =>
    answerRoute(gateway, cors, route, { request, address: addresses.get(request) ?? '' });
  for (const route of routes) {
    app.all(route.path, ({ request }) => answer(route, request), { parse: 'none' });
  }
  app.all('/*', ({ request }) => answer(null, request), { parse: 'none' });
  app.onError(({ request, error }) => {
    // Our handlers do not throw: what arrives here is Elysia's own, a path that is no path.
    const fault = new Fault('not_found', 'There is no such route.', { cause: toFault(error) });
    gateway.log.debug('request outside all routes', { method: request.method });
    return errorResponse(fault, gateway.chance.id());
  });
  app.compile();
  return async (request, address) => {
    const found = isEncrypted ? withLongHost(request) : request;
    addresses.set(found, address);
    return app.fetch(found);
  };
}

/** Behind `https://` a host of one or two letters is too short even so. */
function withLongHost(request: Request): Request {
  const pathAt = request.url.indexOf('/', 'https://'.length);
  if (pathAt >= 11) return request;
  const same = new Request(`https://localhost${request.url.slice(pathAt)}`, request);
  noteAddress(same, addressOf(request));
  return same;
}
