// The routes, in Elysia. It matches paths; bodies stay unread (`parse: 'none'`, we read them
// ourselves) and methods unmatched, so that 405, HEAD and OPTIONS are the same everywhere.

import { Elysia } from 'elysia';
import { Fault, toFault } from '../std/fault.ts';
import { answerChat } from './chat.ts';
import { answerCompletion } from './completion.ts';
import type { CorsPolicy } from './cors.ts';
import { errorResponse } from './fault.ts';
import type { Gateway } from './gateway.ts';
import { liveness, readiness, version } from './health.ts';
import { showMetrics } from './metrics.ts';
import { listModels, showModel } from './model.ts';
import { answerResponse, deleteResponse, showResponse } from './response.ts';
import { answerRoute, type Route } from './route.ts';
import { detokenize, tokenize } from './tokenize.ts';
import { controlWorker, listWorkers } from './worker.ts';

const routes: readonly Route[] = [
  { path: '/v1/chat/completions', post: answerChat },
  { path: '/v1/completions', post: answerCompletion },
  { path: '/v1/responses', post: answerResponse },
  { path: '/v1/responses/*', get: showResponse, delete: deleteResponse },
  { path: '/v1/models', get: listModels },
  { path: '/v1/models/*', get: showModel },
  { path: '/tokenize', post: tokenize },
  { path: '/detokenize', post: detokenize },
  { path: '/health', get: readiness },
  { path: '/health/ready', get: readiness },
  { path: '/live', get: liveness },
  { path: '/version', get: version },
  { path: '/metrics', get: showMetrics },
  { path: '/workers', get: listWorkers },
  { path: '/workers/*', post: controlWorker, ownPagesOnly: true },
];

export function buildApp(
  gateway: Gateway,
  cors: CorsPolicy,
): (request: Request) => Promise<Response> {
  // `standardHostname: false`: Elysia otherwise looks for the path from the 12th character of the
  // URL on, and does not find it behind a host name of one or two letters.
  const app = new Elysia({ systemRouter: false, handler: { standardHostname: false } });
  for (const route of routes) {
    app.all(route.path, ({ request }) => answerRoute(gateway, cors, route, request), {
      parse: 'none',
    });
  }
  app.all('/*', ({ request }) => answerRoute(gateway, cors, null, request), { parse: 'none' });
  app.onError(({ request, error }) => {
    // Our handlers do not throw: what arrives here is Elysia's own, a path that is no path.
    const fault = new Fault('not_found', 'There is no such route.', { cause: toFault(error) });
    gateway.log.debug('request outside all routes', { method: request.method });
    return errorResponse(fault, gateway.chance.id());
  });
  app.compile();
  return async (request) => app.fetch(request);
}
