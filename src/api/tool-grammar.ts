// A demanded call as a grammar of the whole answer: it parses, and its arguments fit the tool's
// parameters, whatever the model is like. Only its length can cut it off.

import { compileGrammar } from '../grammar/compile.ts';
import { toolCallGrammar } from '../grammar/tool-call.ts';
import type { GrammarSpec } from '../protocol/grammar.ts';
import { limit } from '../protocol/limit.ts';
import { toFault } from '../std/fault.ts';
import { clip } from './fault.ts';
import { refuse } from './generation-fields.ts';
import type { ToolUse } from './tool-fields.ts';

/** Null: no call is demanded. Refuses parameters that cannot be honoured. */
export function demandedGrammar(use: ToolUse | null): GrammarSpec | null {
  if (use === null || use.choice === 'auto') return null;
  const { choice } = use;
  const isOne = choice !== 'required';
  const tools = use.tools
    .filter(({ name }) => !isOne || name === choice.name)
    .map(({ name, parameters }) => ({ name, parameters: parameters ?? null }));
  const form = isOne ? ({ kind: 'arguments' } as const) : ({ kind: 'list' } as const);
  const spec = toolCallGrammar(tools, form, use.isParallel ? limit.demandedCallCountMax : 1);
  try {
    compileGrammar(spec);
  } catch (thrown) {
    const fault = toFault(thrown);
    if (fault.code !== 'invalid_request') throw fault;
    refuse('tools', `tools: parameters cannot be demanded: ${clip(fault.message, 500)}`);
  }
  return spec;
}
