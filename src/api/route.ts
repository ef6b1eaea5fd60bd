// One route and what all routes share: a request id, CORS, HEAD for GET, OPTIONS, 405 with `allow`,
// the API key before anything of the body is read, and every failure in OpenAI's envelope.

import type * as v from 'valibot';
import { httpFace } from '../protocol/code.ts';
import { Fault, toFault } from '../std/fault.ts';
import type { CorsPolicy } from './cors.ts';
import { errorResponse, faultFields, isBusy } from './fault.ts';
import type { Gateway } from './gateway.ts';
import { requestIdHeader, requestIdOf } from './request-id.ts';
import { freeLease, type Lease, type Tenant } from './tenant.ts';

/** A request on its way through a handler. */
export type Call = {
  readonly request: Request;
  /** The client's own, or ours. */
  readonly requestId: string;
  readonly arrivedMs: number;
  /** What the path has where the route's has `*` or `:id`, decoded. */
  readonly tail: string;
  /** Its account with the owner of its API key; ended by whoever ends the answer. */
  readonly lease: Lease;
};

export type Handler = (gateway: Gateway, call: Call) => Response | Promise<Response>;

export type Route = {
  /** Ends in `*` to take any rest; `:id` stands for one step. */
  readonly path: string;
  /** The path as it is described: what `*` stands for by name, `/models/{model}`. */
  readonly shownPath?: string;
  readonly summary: string;
  /** What a POST's body is parsed with. */
  readonly body?: v.GenericSchema;
  readonly get?: Handler;
  readonly post?: Handler;
  readonly delete?: Handler;
  /** Pages of origins that CORS does not admit are refused, and not only kept from the answer. */
  readonly ownPagesOnly?: boolean;
  /** Needs no API key: probes have none. */
  readonly isOpen?: boolean;
  /** Makes work, so it counts against the limits of an API key. */
  readonly isWork?: boolean;
};

export async function answerRoute(
  gateway: Gateway,
  cors: CorsPolicy,
  route: Route | null,
  { request, address }: { readonly request: Request; readonly address: string },
): Promise<Response> {
  const requestId = requestIdOf(request.headers, gateway.chance);
  const arrivedMs = gateway.clock.nowMs();
  const methods = route === null ? [] : methodsOf(route);
  let response: Response;
  let tenant: Tenant | null = null;
  let lease = freeLease;
  try {
    if (request.method === 'OPTIONS') {
      const headers = { ...cors.preflight(request, methods), allow: methods.join(', ') };
      response = new Response(null, { status: 204, headers });
    } else {
      if (route?.isOpen !== true) tenant = gateway.access.tenantOf(request.headers, address);
      const handler = handlerFor(route, request, methods);
      if (route?.ownPagesOnly === true) refuseForeignPage(cors, request);
      const tail = route === null ? '' : tailOf(route, request);
      if (route?.isWork !== true) tenant = null;
      if (tenant !== null) lease = tenant.enter();
      response = await handler(gateway, { request, requestId, arrivedMs, tail, lease });
      if (!isStream(response)) lease.end(response.status);
    }
  } catch (thrown) {
    const fault = toFault(thrown);
    lease.end(httpFace(fault.code).status);
    if (fault.code === 'unauthorized' || fault.code === 'rate_limit') {
      gateway.meter.count('tdist_rejections_total', { reason: fault.code });
    }
    logFault(gateway, { request, requestId }, fault);
    response = errorResponse(fault, requestId, gateway.queue.retryAfterS());
    if (fault.code === 'method') response.headers.set('allow', methods.join(', '));
  }
  response.headers.set(requestIdHeader, requestId);
  // Else a client that keeps its connection would be refused here until the drain ends.
  if (gateway.gate.draining) response.headers.set('connection', 'close');
  for (const [name, value] of Object.entries(cors.answer(request.headers.get('origin')))) {
    response.headers.set(name, value);
  }
  for (const [name, value] of Object.entries(tenant?.headers() ?? {})) {
    response.headers.set(name, value);
  }
  return response;
}

/** Its lease ends with its last event. */
function isStream(response: Response): boolean {
  return response.headers.get('content-type')?.startsWith('text/event-stream') === true;
}

function methodsOf(route: Route): string[] {
  const get = route.get === undefined ? [] : ['GET', 'HEAD'];
  const post = route.post === undefined ? [] : ['POST'];
  const removal = route.delete === undefined ? [] : ['DELETE'];
  return [...get, ...post, ...removal, 'OPTIONS'];
}

/** Bun leaves the body of an answer to HEAD away by itself. */
function handlerFor(route: Route | null, request: Request, methods: readonly string[]): Handler {
  if (route === null) {
    const path = new URL(request.url).pathname.slice(0, 200);
    throw new Fault('not_found', `There is no route ${request.method} ${path}.`);
  }
  const handler = isRead(request) ? route.get : changing(route, request.method);
  if (handler !== undefined) return handler;
  throw new Fault(
    'method',
    `${request.method} is not allowed here; this route takes ${methods.join(', ')}.`,
  );
}

function changing(route: Route, method: string): Handler | undefined {
  if (method === 'POST') return route.post;
  return method === 'DELETE' ? route.delete : undefined;
}

/** A page anywhere may send a plain POST to localhost through its visitor's browser. */
function refuseForeignPage(cors: CorsPolicy, request: Request): void {
  const origin = request.headers.get('origin');
  if (origin === null || cors.admits(origin)) return;
  throw new Fault(
    'forbidden',
    `Pages of ${origin.slice(0, 200)} may not do this; name the origin in --cors-origin.`,
  );
}

function isRead(request: Request): boolean {
  return request.method === 'GET' || request.method === 'HEAD';
}

function tailOf(route: Route, request: Request): string {
  const { pathname } = new URL(request.url);
  const step = route.path.split('/').indexOf(':id');
  if (step < 0 && !route.path.endsWith('*')) return '';
  const tail = step < 0 ? pathname.slice(route.path.length - 1) : (pathname.split('/')[step] ?? '');
  try {
    return decodeURIComponent(tail);
  } catch {
    return tail; // not percent-encoded after all: a name like any other
  }
}

/** Ours to mend, the operator's to see, or the client's own affair. */
function logFault(gateway: Gateway, call: Pick<Call, 'request' | 'requestId'>, fault: Fault): void {
  const face = httpFace(fault.code);
  const fields = { request: call.requestId, status: face.status, ...faultFields(fault) };
  if (face.hidden) gateway.log.error('request failed', fields);
  else if (isBusy(face.status) && !isRead(call.request))
    gateway.log.warn('request refused', fields);
  else gateway.log.debug('request refused', fields);
}
