// Messages → the prompt's text, by the model's own chat template. Templates come with the model, never
// from a client; what one may cost is text/template-cost.ts's.

import { Fault, toFault } from '../std/fault.ts';
import { JinjaTemplate } from './jinja.ts';
import { fieldsOf, templateSources } from './template-source.ts';

/** A message as templates expect it: text content, tool arguments as objects. */
export type TemplateMessage = Readonly<Record<string, unknown>> & {
  readonly role: string;
  /** Null: an assistant's message of calls alone. */
  readonly content: string | null;
};

type Compiled = {
  readonly template: JinjaTemplate;
  /** It asks whether a message's content is none. */
  readonly testsNull: boolean;
};

export type TemplateInput = {
  readonly messages: readonly TemplateMessage[];
  readonly tools: readonly unknown[] | null;
  readonly addGenerationPrompt: boolean;
  /** The prompt ends inside the last message: the answer goes on with it. */
  readonly continuesFinal?: boolean;
  readonly documents?: readonly unknown[] | null;
  /** Further variables of the template, none of `reservedVariables`. */
  readonly variables?: Readonly<Record<string, unknown>>;
};

/** What a template gets from us, or has from its language: nobody else may set these. */
export const reservedVariables: ReadonlySet<string> = new Set([
  'messages',
  'tools',
  'documents',
  'add_generation_prompt',
  'continue_final_message',
  'bos_token',
  'eos_token',
  'pad_token',
  'unk_token',
  'chat_template',
  'tokenize',
  'return_dict',
  'raise_exception',
  'strftime_now',
  'range',
  'namespace',
  'true',
  'false',
  'none',
  'True',
  'False',
  'None',
  '__proto__',
]);

export class ChatTemplate {
  readonly #plain: Compiled;
  readonly #withTools: Compiled;
  readonly #tokens: Readonly<Record<string, string>>;

  constructor(
    { plain, withTools }: { readonly plain: Compiled; readonly withTools: Compiled },
    tokens: Readonly<Record<string, string>>,
  ) {
    this.#plain = plain;
    this.#withTools = withTools;
    this.#tokens = tokens;
  }

  render(input: TemplateInput): string {
    const { template, testsNull } = input.tools === null ? this.#plain : this.#withTools;
    // Most templates take content for text without looking, and fail at null.
    const messages = testsNull
      ? input.messages
      : input.messages.map((message) => ({ ...message, content: message.content ?? '' }));
    try {
      const documents = input.documents ?? null;
      const variables = {
        ...input.variables,
        ...this.#tokens,
        messages,
        tools: input.tools,
        ...(documents === null ? {} : { documents }),
        add_generation_prompt: input.addGenerationPrompt,
      };
      const text = template.render(variables, charsOf(input));
      return input.continuesFinal === true ? cutBehind(text, input.messages.at(-1)) : text;
    } catch (thrown) {
      if (thrown instanceof Fault) throw thrown;
      throw new Fault(
        'invalid_request',
        `The model's chat template refused the messages: ${toFault(thrown).message}`,
        { param: 'messages', cause: thrown },
      );
    }
  }
}

/** `text` up to the end of what the last message says; templates write an end behind it. */
function cutBehind(text: string, last: TemplateMessage | undefined): string {
  const content = last?.content ?? '';
  const said = content.trim();
  const begin = said === '' ? -1 : text.lastIndexOf(said);
  if (begin < 0) throw new Error('it does not show the last message, so that cannot be continued');
  // Spaces at its end count where the template keeps them.
  const whole = content.trimStart();
  return text.slice(0, begin + (text.startsWith(whole, begin) ? whole.length : said.length));
}

/** All texts in a value, names of members counted. Values of clients are nested `limit.jsonDepthMax` deep. */
function charsOf(value: unknown): number {
  if (typeof value === 'string') return value.length;
  if (typeof value !== 'object' || value === null) return 1;
  let sum = 1;
  if (Array.isArray(value)) for (const entry of value) sum += charsOf(entry);
  else for (const [name, entry] of Object.entries(value)) sum += name.length + charsOf(entry);
  return sum;
}

/** The template in tokenizer_config.json, or null where the model has none. */
export function loadChatTemplate(tokenizerConfig: unknown): ChatTemplate | null {
  const config = fieldsOf(tokenizerConfig);
  const sources = templateSources(tokenizerConfig);
  const plain = sources.get('default') ?? [...sources.values()][0];
  if (plain === undefined) return null;
  const tokens = Object.fromEntries(
    ['bos_token', 'eos_token', 'pad_token', 'unk_token'].map((name) => [
      name,
      tokenText(config.get(name)),
    ]),
  );
  const compiled = compile(plain);
  const toolUse = sources.get('tool_use');
  const withTools = toolUse === undefined ? compiled : compile(toolUse);
  return new ChatTemplate({ plain: compiled, withTools }, tokens);
}

/** `"<s>"`, or the older `{"content": "<s>", …}`; absent tokens print as nothing. */
function tokenText(value: unknown): string {
  if (typeof value === 'string') return value;
  const content = fieldsOf(value).get('content');
  return typeof content === 'string' ? content : '';
}

function compile(source: string): Compiled {
  try {
    const template = new JinjaTemplate(source);
    const testsNull = /content['"\]]{0,2} is (not )?(none|string)\b/.test(source);
    return { template, testsNull };
  } catch (thrown) {
    throw new Fault(
      'config',
      `reading chat_template of tokenizer_config.json: ${toFault(thrown).message}; wanted a Jinja ` +
        "template. Take the file from the model's own repository.",
      { cause: thrown },
    );
  }
}
