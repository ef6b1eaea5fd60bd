// The only importer of the Jinja library. A template is read here and rendered with every step counted
// (template-cost.ts): the library itself runs whatever a template asks for, as long as that takes.

import { Environment, Interpreter, Template } from '@huggingface/jinja';
import { limit } from '../protocol/limit.ts';
import { honourStrip, stripFunctions } from './strip.ts';
import { TemplateBudget, type Value } from './template-cost.ts';

type Program = Template['parsed'];
type Node = Parameters<Interpreter['evaluate']>[0];
type NodeValue = ReturnType<Interpreter['evaluate']>;

export type Variables = Readonly<Record<string, unknown>>;

export class JinjaTemplate {
  readonly #program: Program;

  /** Throws an Error for what is no template. */
  constructor(source: string) {
    checkSource(source);
    this.#program = new Template(source).parsed;
    honourStrip(this.#program);
  }

  /**
   * Throws a Fault where it would cost too much, and an Error where the template cannot go on.
   * @param inputChars of all that the client sent, by which the work is measured.
   */
  render(variables: Variables, inputChars: number): string {
    const budget = new TemplateBudget(inputChars);
    const environment = new Environment();
    for (const [name, value] of Object.entries({ ...variables, ...globals(budget) })) {
      environment.set(name, value);
    }
    const { value } = new CountedInterpreter(environment, budget).run(this.#program);
    return typeof value === 'string' ? value : '';
  }
}

/** The library looks for a tag behind blank space, from each blank anew: that many squared. */
function checkSource(source: string): void {
  const { templateCharsMax, templateBlankMax } = limit;
  if (source.length > templateCharsMax) {
    throw new Error(`it has ${source.length} characters, at most ${templateCharsMax} are read`);
  }
  for (const [blank] of source.matchAll(/\s+/g)) {
    if (blank.length <= templateBlankMax) continue;
    throw new Error(`it has ${blank.length} blanks in a row, at most ${templateBlankMax} are read`);
  }
}

/** As the library's `Template` has them; what makes values of numbers or text is counted. */
function globals(budget: TemplateBudget): Variables {
  const words = { false: false, true: true, none: null, False: false, True: true, None: null };
  const strips = Object.entries(stripFunctions).map(([name, strip]) => [
    name,
    (text: unknown, chars: unknown) => {
      if (typeof text === 'string') budget.readText(text.length);
      return strip(text, chars);
    },
  ]);
  return {
    ...words,
    ...Object.fromEntries(strips),
    raise_exception(why: unknown) {
      throw new Error(
        typeof why === 'string' ? why.slice(0, limit.errorCharsMax) : 'it says no reason',
      );
    },
    range: (...bounds: readonly unknown[]) => range(budget, bounds),
    strftime_now(format: unknown) {
      if (typeof format !== 'string' || format.length > 256) {
        throw new Error('strftime_now wants a short text');
      }
      budget.charge(clockSteps);
      return clockTemplate.render({ format });
    },
  };
}

/** It makes two formatters of dates each time. */
const clockSteps = 1000;
const clockTemplate = new Template('{{ strftime_now(format) }}');

/** Python's: up to `bounds[0]`, or from the first to the second in steps of the third. */
function range(budget: TemplateBudget, bounds: readonly unknown[]): readonly number[] {
  const numbers = bounds.map((bound) => {
    if (Number.isSafeInteger(bound)) return Number(bound);
    throw new Error('range() wants integers');
  });
  const [first = 0, second, step = 1] = numbers;
  const [from, to] = second === undefined ? [0, first] : [first, second];
  if (step === 0) throw new Error('range() step must not be zero');
  const count = Math.max(0, Math.ceil((to - from) / step));
  budget.checkList(count);
  budget.charge(count);
  return Array.from({ length: count }, (_, at) => from + at * step);
}

/** A node under way, and what its children have come to so far. */
type Frame = {
  readonly node: Fields;
  readonly parts: Value[];
  /** Of a call: what comes now comes out of a macro's body. */
  isCalled: boolean;
};

/** A node's members, whichever kind it is of. */
type Fields = Readonly<Record<string, unknown>>;

/** Nodes without children: they make nothing, and are most of all. */
const leaves: ReadonlySet<string> = new Set([
  'Identifier',
  'StringLiteral',
  'IntegerLiteral',
  'FloatLiteral',
]);
/** Nodes whose work depends on what their children have come to. */
const gathering: ReadonlySet<string> = new Set([
  'CallExpression',
  'CallStatement',
  'BinaryExpression',
  'FilterExpression',
  'FilterStatement',
  'MemberExpression',
]);
const noParts: Value[] = [];

class CountedInterpreter extends Interpreter {
  readonly #budget: TemplateBudget;
  /** Methods of values, wherever the template has put them. */
  readonly #methods = new WeakMap<NodeValue, { readonly of: Value; readonly name: string }>();
  #frame: Frame | null = null;
  #depth = 0;

  constructor(environment: Environment, budget: TemplateBudget) {
    super(environment);
    this.#budget = budget;
  }

  override evaluate(node: Node, environment: Environment): NodeValue {
    if (node === undefined) return super.evaluate(node, environment);
    this.#budget.charge(1);
    const outer = this.#frame;
    if (leaves.has(node.type)) {
      const value = super.evaluate(node, environment);
      if (outer !== null) this.#arrived(outer, node, value);
      return value;
    }
    this.#budget.checkDepth(++this.#depth);
    const parts: Value[] = gathering.has(node.type) ? [] : noParts;
    const frame: Frame = { node: fieldsOf(node), parts, isCalled: false };
    this.#frame = frame;
    try {
      const value = super.evaluate(node, environment);
      this.#done(frame, value);
      if (outer !== null) this.#arrived(outer, node, value);
      return value;
    } finally {
      this.#frame = outer;
      this.#depth--;
    }
  }

  #done({ node, parts }: Frame, value: NodeValue): void {
    this.#budget.made(value);
    const [object, property] = parts;
    if (node['type'] === 'CallExpression') this.#budget.charge(sizeOf(value));
    if (node['type'] !== 'MemberExpression' || object === undefined) return;
    if (isOf(node['property'], 'SliceExpression')) this.#budget.slice(object);
    else if (value.type === 'FunctionValue') {
      const name =
        node['computed'] === true ? property?.value : fieldsOf(node['property'])['value'];
      this.#methods.set(value, { of: object, name: String(name) });
    }
  }

  /** A child of a node that is under way has its value; the node has not yet done its own work with it. */
  #arrived(frame: Frame, child: Node, value: NodeValue): void {
    const { node, parts } = frame;
    switch (node['type']) {
      case 'Program':
        this.#budget.write(value);
        return;
      case 'If':
        if (child !== node['test']) this.#budget.write(value);
        return;
      case 'Set':
        if (child !== node['value'] && child !== fieldsOf(node['assignee'])['object']) {
          this.#budget.write(value);
        }
        return;
      case 'For': {
        const { lhs, test } = fieldsOf(node['iterable']);
        if (child === node['iterable'] || (child === lhs && lhs !== undefined)) {
          this.#budget.round(sizeOf(value));
        } else if (child !== test || test === undefined) this.#budget.write(value);
        return;
      }
      case 'CallExpression':
        this.#called(frame, node, child, value);
        return;
      case 'CallStatement':
        this.#called(frame, fieldsOf(node['call']), child, value);
        return;
      case 'BinaryExpression': {
        const [left] = parts;
        if (left === undefined) parts.push(value);
        else this.#budget.binary(String(fieldsOf(node['operator'])['value']), left, value);
        return;
      }
      case 'FilterExpression':
      case 'FilterStatement':
        this.#filtered(frame, child, value);
        return;
      case 'TestExpression':
        if (typeof value.value === 'string') this.#testText(node, value.value);
        return;
      case 'MemberExpression':
        parts.push(value);
        return;
      default:
    }
  }

  #called(frame: Frame, call: Fields, child: Node, value: NodeValue): void {
    if (frame.isCalled) {
      this.#budget.write(value);
      return;
    }
    if (child !== call['callee']) {
      frame.parts.push(value);
      return;
    }
    frame.isCalled = true;
    const method = this.#methods.get(value);
    if (method !== undefined) this.#budget.method(method.name, method.of, frame.parts);
  }

  /** The operand comes first, then the arguments: with each the work is reckoned anew. */
  #filtered({ node, parts }: Frame, child: Node, value: NodeValue): void {
    const { type, value: word, callee, args } = fieldsOf(node['filter']);
    const name = String(type === 'Identifier' ? word : fieldsOf(callee)['value']);
    if (node['type'] === 'FilterStatement' && !isArgument(child, args)) {
      // Of a block each statement's text arrives; the operand is all of them together.
      this.#budget.write(value);
      const text = `${String(parts[0]?.value ?? '')}${String(value.value ?? '')}`;
      parts[0] = { type: 'StringValue', value: text };
    } else parts.push(value);
    const [operand, ...rest] = parts;
    if (operand !== undefined) this.#budget.filter(name, operand, rest);
  }

  #testText(node: Fields, text: string): void {
    const name = fieldsOf(node['test'])['value'];
    if (name === 'lower' || name === 'upper') this.#budget.readText(text.length);
  }
}

function isArgument(child: Node, args: unknown): boolean {
  if (!Array.isArray(args)) return false;
  return args.some((arg) => {
    const { value, argument } = fieldsOf(arg);
    return arg === child || value === child || argument === child;
  });
}

function sizeOf({ value }: Value): number {
  if (typeof value === 'string') return value.length / 16;
  if (Array.isArray(value)) return value.length;
  return value instanceof Map ? value.size : 1;
}

function isOf(node: unknown, type: string): boolean {
  return fieldsOf(node)['type'] === type;
}

const noFields: Fields = {};

function fieldsOf(node: unknown): Fields {
  // Whatever an object is, its members can be asked for by name.
  return typeof node === 'object' && node !== null ? (node as Fields) : noFields;
}
