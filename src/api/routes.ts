// The routes: the one table that the server, 404, 405, `allow`, API keys and the description read.

import { answerChat } from './chat.ts';
import { chatSchema } from './chat-schema.ts';
import { answerCompletion } from './completion.ts';
import { completionSchema } from './completion-intake.ts';
import { liveness, readiness, version } from './health.ts';
import { showMetrics } from './metrics.ts';
import { listModels, showModel } from './model.ts';
import { withDocs } from './openapi.ts';
import { answerResponse, deleteResponse, showResponse } from './response.ts';
import { listInputItems } from './response-input.ts';
import { responseSchema } from './response-schema.ts';
import type { Route } from './route.ts';
import { detokenize, detokenizeSchema, tokenize, tokenizeSchema } from './tokenize.ts';
import { controlWorker, listWorkers } from './worker.ts';

export const routes: readonly Route[] = withDocs([
  {
    path: '/v1/chat/completions',
    summary: 'Answers a conversation, whole or as a stream of events',
    post: answerChat,
    body: chatSchema,
    isWork: true,
  },
  {
    path: '/v1/completions',
    summary: 'Goes on from one or several prompts, whole or as a stream of events',
    post: answerCompletion,
    body: completionSchema,
    isWork: true,
  },
  {
    path: '/v1/responses',
    summary: 'Answers items as a response, whole or as a stream of events',
    post: answerResponse,
    body: responseSchema,
    isWork: true,
  },
  {
    path: '/v1/responses/:id',
    shownPath: '/v1/responses/{id}',
    summary: 'A response that is kept (GET), or no longer (DELETE)',
    get: showResponse,
    delete: deleteResponse,
  },
  {
    path: '/v1/responses/:id/input_items',
    shownPath: '/v1/responses/{id}/input_items',
    summary: 'What it was made of, a page of items at a time',
    get: listInputItems,
  },
  { path: '/v1/models', summary: 'The models that workers serve now', get: listModels },
  {
    path: '/v1/models/*',
    shownPath: '/v1/models/{model}',
    summary: 'One of them',
    get: showModel,
  },
  {
    path: '/tokenize',
    summary: 'Token ids of a text, or of a conversation through the chat template',
    post: tokenize,
    body: tokenizeSchema,
  },
  {
    path: '/detokenize',
    summary: 'The text of token ids',
    post: detokenize,
    body: detokenizeSchema,
  },
  {
    path: '/health',
    summary: '200 if a request could be served now, else 503 with the reason',
    get: readiness,
    isOpen: true,
  },
  { path: '/health/ready', summary: 'The same', get: readiness, isOpen: true },
  { path: '/live', summary: '200 while this process answers', get: liveness, isOpen: true },
  { path: '/version', summary: 'Version of this gateway', get: version },
  { path: '/metrics', summary: "Metrics in Prometheus' text format", get: showMetrics },
  { path: '/workers', summary: 'The workers that are alive', get: listWorkers },
  {
    path: '/workers/*',
    shownPath: '/workers/{id}/{action}',
    summary: 'Takes a worker out of service (drain) or back (resume)',
    post: controlWorker,
    ownPagesOnly: true,
  },
]);
