// Python's str.strip, lstrip, rstrip and the filter trim. The Jinja library (0.5.11) ignores an argument, while
// templates mean it: Qwen3's `content.lstrip('\n')` leaves spaces where they are; and without one it takes
// JavaScript's white space, which U+FEFF is and U+0085 is not, the reverse of Python's. So these are turned
// into calls of functions from here, in the parsed template.

const prefix = 'tdist_';
const space = /\p{White_Space}/u;

type Strip = (text: unknown, chars: unknown) => string;

/** For the template's context, under the names that `honourStrip` writes. */
export const stripFunctions: Readonly<Record<string, Strip>> = {
  [`${prefix}strip`]: (text: unknown, chars: unknown) => strip(text, chars, true, true),
  [`${prefix}lstrip`]: (text: unknown, chars: unknown) => strip(text, chars, true, false),
  [`${prefix}rstrip`]: (text: unknown, chars: unknown) => strip(text, chars, false, true),
};

/** Changes the parsed template in place. */
export function honourStrip(node: unknown): void {
  if (typeof node !== 'object' || node === null) return;
  for (const child of Object.values(node)) honourStrip(child);
  if (isTrim(node)) {
    const args = 'args' in node.filter ? node.filter.args : [];
    const callee = { type: 'Identifier', value: `${prefix}strip` };
    Object.assign(node, { type: 'CallExpression', callee, args: [node.operand, ...args] });
    return;
  }
  if (!isCall(node) || !isMember(node.callee)) return;
  const { object, property } = node.callee;
  const name = `${prefix}${property.value}`;
  if (!Object.hasOwn(stripFunctions, name)) return;
  node.args = [object, ...node.args];
  node.callee = { type: 'Identifier', value: name };
}

function strip(text: unknown, chars: unknown, left: boolean, right: boolean): string {
  if (typeof text !== 'string') throw new Error(`${typeof text} has no method strip`);
  const isNone = chars === null || chars === undefined; // the library's none has no value
  if (!isNone && typeof chars !== 'string') {
    throw new Error(`strip wants text or none, found ${typeof chars}`);
  }
  const all = typeof chars === 'string' ? new Set(chars) : null;
  const goes = (letter: string): boolean => (all === null ? isSpace(letter) : all.has(letter));
  let [from, to] = [0, text.length];
  while (left && from < to) {
    const letter = letterAt(text, from);
    if (!goes(letter)) break;
    from += letter.length;
  }
  while (right && to > from) {
    const letter = letterAt(text, (text.codePointAt(to - 2) ?? 0) > 0xffff ? to - 2 : to - 1);
    if (!goes(letter)) break;
    to -= letter.length;
  }
  return text.slice(from, to);
}

function letterAt(text: string, at: number): string {
  return String.fromCodePoint(text.codePointAt(at) ?? 0);
}

/** What Python's str.isspace says yes to. */
function isSpace(letter: string): boolean {
  return space.test(letter) || (letter >= '\u001c' && letter <= '\u001f');
}

type Trim = { operand: unknown; filter: { value: string } | Call };

/** `operand | trim`, with or without an argument. */
function isTrim(node: object): node is Trim {
  if (!('type' in node) || node.type !== 'FilterExpression' || !('filter' in node)) return false;
  const { filter } = node;
  if (typeof filter !== 'object' || filter === null) return false;
  const name = isCall(filter) ? filter.callee : filter;
  return typeof name === 'object' && name !== null && 'value' in name && name.value === 'trim';
}

type Call = { type: 'CallExpression'; callee: unknown; args: unknown[] };
type Member = { type: 'MemberExpression'; object: unknown; property: { value: unknown } };

function isCall(node: object): node is Call {
  const call = 'type' in node && node.type === 'CallExpression' && 'callee' in node;
  return call && 'args' in node && Array.isArray(node.args);
}

/** `object.name`; in `object[name]` the property is an expression of its own. */
function isMember(node: unknown): node is Member {
  if (typeof node !== 'object' || node === null || !('type' in node)) return false;
  if (node.type !== 'MemberExpression' || !('property' in node)) return false;
  if ('computed' in node && node.computed === true) return false;
  const { property } = node;
  return typeof property === 'object' && property !== null && 'value' in property;
}
