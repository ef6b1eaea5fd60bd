// The shapes that OpenAI publishes for what a server of its API answers, strict: a field that is none of
// theirs must stand here as an extension, with the reason why it is there.

import * as v from 'valibot';

const count = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const id = v.pipe(v.string(), v.minLength(1));
const idOf = (prefix: string) => v.pipe(v.string(), v.regex(new RegExp(`^${prefix}[0-9a-f]+$`)));
const ids = v.array(count);

/** Ours and vLLM's. All may be absent. */
const timing = v.optional(v.looseObject({ request_id: v.string(), route: v.string() }));
const usageExtensions = { tdist: timing };
const thoughtExtensions = {
  reasoning: v.optional(v.pipe(v.string(), v.minLength(1))),
  reasoning_content: v.optional(v.pipe(v.string(), v.minLength(1))),
};
const choiceExtensions = {
  stop_reason: v.optional(v.nullable(v.union([v.string(), count]))),
  token_ids: v.optional(ids),
};
const promptExtensions = { prompt_token_ids: v.optional(ids) };
const modelExtensions = {
  root: v.string(),
  parent: v.null(),
  max_model_len: count,
  permission: v.array(v.never()),
};

const usage = v.pipe(
  v.strictObject({
    prompt_tokens: count,
    completion_tokens: count,
    total_tokens: count,
    prompt_tokens_details: v.strictObject({ cached_tokens: count }),
    completion_tokens_details: v.strictObject({ reasoning_tokens: count }),
    ...usageExtensions,
  }),
  v.check((all) => all.prompt_tokens + all.completion_tokens === all.total_tokens, 'no sum'),
  v.check((all) => all.prompt_tokens_details.cached_tokens <= all.prompt_tokens, 'cached > all'),
);

const token = { token: v.string(), logprob: v.pipe(v.number(), v.finite(), v.maxValue(0)) };
const bytes = v.array(v.pipe(count, v.maxValue(255)));
const nullableBytes = { bytes: v.nullable(bytes) };
const chatLogprobs = v.nullable(
  v.strictObject({
    content: v.array(
      v.strictObject({
        ...token,
        ...nullableBytes,
        top_logprobs: v.array(v.strictObject({ ...token, ...nullableBytes })),
      }),
    ),
    refusal: v.null(),
  }),
);
const chatFinish = v.picklist(['stop', 'length', 'tool_calls', 'content_filter']);
const called = { name: id, arguments: v.string() };
const head = { created: count, model: id, system_fingerprint: id };

const isNumbered = (choices: readonly { readonly index: number }[]): boolean =>
  choices.every(({ index }, i) => index === i);
const wrongNumbers = 'choices are not numbered from 0 on';

export const chatCompletion = v.strictObject({
  id: idOf('chatcmpl-'),
  object: v.literal('chat.completion'),
  ...head,
  choices: v.pipe(
    v.array(
      v.strictObject({
        index: count,
        message: v.strictObject({
          role: v.literal('assistant'),
          content: v.nullable(v.string()),
          refusal: v.null(),
          tool_calls: v.optional(
            v.pipe(
              v.array(
                v.strictObject({
                  id,
                  type: v.literal('function'),
                  function: v.strictObject(called),
                }),
              ),
              v.minLength(1),
            ),
          ),
          ...thoughtExtensions,
        }),
        logprobs: chatLogprobs,
        finish_reason: chatFinish,
        ...choiceExtensions,
      }),
    ),
    v.minLength(1),
    v.check((choices) => isNumbered(choices), wrongNumbers),
  ),
  usage,
  ...promptExtensions,
});

const callDelta = v.union([
  v.strictObject({
    index: count,
    id,
    type: v.literal('function'),
    function: v.strictObject(called),
  }),
  v.strictObject({ index: count, function: v.strictObject({ arguments: v.string() }) }),
]);
const chunkUsage = { usage: v.optional(v.nullable(usage)) };

export const chatChunk = v.strictObject({
  id: idOf('chatcmpl-'),
  object: v.literal('chat.completion.chunk'),
  ...head,
  choices: v.array(
    v.strictObject({
      index: count,
      delta: v.strictObject({
        role: v.optional(v.literal('assistant')),
        content: v.optional(v.nullable(v.string())),
        tool_calls: v.optional(v.pipe(v.array(callDelta), v.minLength(1))),
        ...thoughtExtensions,
      }),
      logprobs: chatLogprobs,
      finish_reason: v.nullable(chatFinish),
      ...choiceExtensions,
    }),
  ),
  ...chunkUsage,
  ...promptExtensions,
});

const completionLogprobs = v.nullable(
  v.pipe(
    v.strictObject({
      tokens: v.array(v.string()),
      token_logprobs: v.array(v.nullable(token.logprob)),
      top_logprobs: v.array(v.nullable(v.record(v.string(), token.logprob))),
      text_offset: v.array(count),
    }),
    v.check(
      (lists) => new Set(Object.values(lists).map(({ length }) => length)).size === 1,
      'lists of different lengths',
    ),
  ),
);
const completionChoice = {
  index: count,
  text: v.string(),
  logprobs: completionLogprobs,
  ...choiceExtensions,
  ...promptExtensions,
};
const completionFinish = v.picklist(['stop', 'length', 'content_filter']);
const completionHead = { id: idOf('cmpl-'), object: v.literal('text_completion'), ...head };

export const completion = v.strictObject({
  ...completionHead,
  choices: v.pipe(
    v.array(v.strictObject({ ...completionChoice, finish_reason: completionFinish })),
    v.minLength(1),
    v.check((choices) => isNumbered(choices), wrongNumbers),
  ),
  usage,
});

export const completionChunk = v.strictObject({
  ...completionHead,
  choices: v.array(
    v.strictObject({ ...completionChoice, finish_reason: v.nullable(completionFinish) }),
  ),
  ...chunkUsage,
});

const model = v.strictObject({
  id,
  object: v.literal('model'),
  created: count,
  owned_by: id,
  ...modelExtensions,
});
export const oneModel = model;
export const modelList = v.strictObject({ object: v.literal('list'), data: v.array(model) });

export const errorEnvelope = v.strictObject({
  error: v.strictObject({
    message: v.pipe(v.string(), v.minLength(1), v.maxLength(1000)),
    type: v.picklist(['invalid_request_error', 'rate_limit_error', 'server_error']),
    param: v.nullable(v.string()),
    code: v.nullable(v.string()),
  }),
});

export { bytes, count, id, idOf, timing, token };
