// How a model writes its tool calls and its thoughts, from its chat templates: they show them to the
// model in the words that it learned to use. Null: in no way that is known here.

import type { ReasoningParserName, ToolParserName } from '../../protocol/request.ts';
import { templateSources } from '../template-source.ts';

/** XML within the same marks as Hermes' JSON: other languages (Qwen3-Coder, GLM). */
const foreign = ['<function=', '<arg_key>'];

export function detectToolParser(tokenizerConfig: unknown): ToolParserName | null {
  const template = allTemplates(tokenizerConfig);
  const has = (word: string): boolean => template.includes(word);
  if (has('[TOOL_CALLS]')) return 'mistral';
  if (has('<tool_call>')) return foreign.some(has) ? null : 'hermes';
  // Llama 3.1 and 3.2 tell the model the form in these words; the tag alone may be only for code.
  return has('{"name": function name, "parameters":') ? 'llama3_json' : null;
}

export function detectReasoningParser(tokenizerConfig: unknown): ReasoningParserName | null {
  return allTemplates(tokenizerConfig).includes('</think>') ? 'think' : null;
}

function allTemplates(tokenizerConfig: unknown): string {
  return [...templateSources(tokenizerConfig).values()].join('\n');
}
