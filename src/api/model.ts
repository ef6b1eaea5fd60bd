// GET /v1/models and /v1/models/{id}: what live workers serve now.

import type { ServedModel } from '../protocol/request.ts';
import { modelFault, servedModels } from './catalog.ts';
import type { Gateway } from './gateway.ts';
import type { Call } from './route.ts';

export function listModels(gateway: Gateway): Response {
  return Response.json({ object: 'list', data: servedModels(gateway).map(modelObject) });
}

/** Ids may contain `/`, plain or as `%2F`. */
export function showModel(gateway: Gateway, call: Call): Response {
  const models = servedModels(gateway);
  const found = models.find((model) => model.name === call.tail);
  if (found === undefined) throw modelFault(call.tail, models);
  return Response.json(modelObject(found));
}

function modelObject(model: ServedModel): Record<string, unknown> {
  return {
    id: model.name,
    object: 'model',
    created: model.createdS,
    owned_by: 'tdist',
    root: model.name,
    parent: null,
    max_model_len: model.maxModelLen,
    permission: [],
  };
}
