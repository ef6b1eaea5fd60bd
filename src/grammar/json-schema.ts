// JSON schema → grammar. Honours each keyword or refuses it by name and path: what an answer is held to
// is what was asked for. Where the standard leaves a choice, ours is the narrower one: properties come
// in the order of the schema, and unless `additionalProperties` says so there are no others beside those
// declared.

import { limit } from '../protocol/limit.ts';
import { Fault } from '../std/fault.ts';
import { chars, choice, type Expression, oneOf, type Rules, rule, text } from './expression.ts';
import { jsonRules, valueRule } from './json-text.ts';
import { arrayOf, type Convert, numberOf, objectOf, stringOf } from './json-type.ts';
import { checkForms, idleTypes, innerSchemas } from './schema-idle.ts';
import {
  checkKeywords,
  isObject,
  refuse,
  type Schema,
  type SchemaObject,
  typeOf,
  typesOf,
} from './schema-keyword.ts';
import { areDisjoint } from './schema-union.ts';

/** @param source the schema's JSON. */
export function parseJsonSchema(source: string): Rules {
  let schema: unknown;
  try {
    schema = JSON.parse(source);
  } catch {
    throw new Fault('invalid_request', 'the schema is not valid JSON');
  }
  return new SchemaReader(schema).read();
}

class SchemaReader {
  readonly #root: unknown;
  readonly #rules = new Map<string, Expression>(jsonRules);
  #ruleCount = 0;

  constructor(root: unknown) {
    this.#root = root;
  }

  read(): Rules {
    const start = this.#ref('#', '#');
    return { start, rules: this.#rules };
  }

  /** Name of the rule for what the reference points to. */
  #ref(ref: string, path: string): string {
    const name = `ref ${ref}`;
    if (this.#rules.has(name)) return name;
    const target = this.#resolve(ref, path);
    this.#rules.set(name, chars([])); // it may refer to itself
    this.#rules.set(name, this.#convert(target, { path: ref, depth: 0 }));
    return name;
  }

  #resolve(ref: string, path: string): unknown {
    if (!ref.startsWith('#')) {
      throw refuse(path, `$ref ${JSON.stringify(ref)} leaves the schema; only "#…" is supported`);
    }
    let at: unknown = this.#root;
    for (const step of pointerSteps(ref, path)) {
      const value: unknown =
        typeof at === 'object' && at !== null && Object.hasOwn(at, step)
          ? Reflect.get(at, step)
          : undefined;
      if (value === undefined) {
        throw refuse(path, `$ref ${JSON.stringify(ref)} points to nothing in the schema`);
      }
      at = value;
    }
    return at;
  }

  readonly #convert: Convert['value'] = (schema, { path, depth }) => {
    if (depth > limit.grammarDepthMax) {
      throw refuse(path, `the schema is nested deeper than ${limit.grammarDepthMax} levels`);
    }
    if (schema === true) return valueRule;
    if (schema === false) return chars([]);
    if (!isObject(schema)) throw refuse(path, 'a schema is an object, true or false');
    checkKeywords(schema, path);
    const at = { path, depth: depth + 1 };
    if (schema['$ref'] !== undefined) return rule(this.#ref(refOf(schema, path), path));
    if ('const' in schema) return this.#values([schema['const']], schema, path);
    if (schema['enum'] !== undefined) return this.#enum(schema, path);
    for (const word of ['anyOf', 'oneOf', 'allOf'] as const) {
      if (schema[word] !== undefined) return this.#combined(word, schema, at);
    }
    const types = typesOf(schema, path);
    if (types === null) return valueRule;
    for (const type of idleTypes(schema, types)) this.#checkIdle(type, schema, at);
    return choice(...types.map((type) => this.#type(type, schema, at)));
  };

  /** Keywords of a type that no value here has say nothing, but are read all the same. */
  #checkIdle(type: string, schema: SchemaObject, at: { path: string; depth: number }): void {
    checkForms(type, schema, at.path);
    for (const { schema: inner, path } of innerSchemas(type, schema, at.path)) {
      this.#convert(inner, { path, depth: at.depth });
    }
  }

  #type(type: string, schema: SchemaObject, at: { path: string; depth: number }): Expression {
    const convert = { value: this.#convert, named: this.#named, shared: this.#shared };
    switch (type) {
      case 'object':
        return objectOf(schema, at, convert);
      case 'array':
        return arrayOf(schema, at, convert);
      case 'string':
        return stringOf(schema, at.path, convert);
      case 'boolean':
        return choice(text('true'), text('false'));
      case 'null':
        return text('null');
      default:
        return numberOf(type, schema, at.path);
    }
  }

  /** So that what stands in several places of the grammar is built once. */
  readonly #named: Convert['named'] = (expression) => {
    const name = `part ${this.#ruleCount++}`;
    this.#rules.set(name, expression);
    return rule(name);
  };

  readonly #shared: Convert['shared'] = (name, make) => {
    if (!this.#rules.has(name)) this.#rules.set(name, make());
    return rule(name);
  };

  #enum(schema: SchemaObject, path: string): Expression {
    const values = schema['enum'];
    if (!Array.isArray(values) || values.length === 0) {
      throw refuse(path, 'enum must be a list of at least one value');
    }
    if (values.length > limit.grammarChoiceMax) {
      throw refuse(path, `enum has ${values.length} values; at most ${limit.grammarChoiceMax}`);
    }
    return this.#values(values, schema, path);
  }

  #values(values: readonly unknown[], schema: SchemaObject, path: string): Expression {
    const types = schema['type'] === undefined ? null : typesOf(schema, path);
    const fitting = values.filter(
      (value) => types === null || typeOf(value).some((type) => types.includes(type)),
    );
    if (fitting.length === 0) throw refuse(path, 'none of the values has the type asked for');
    return oneOf(fitting.map((value) => JSON.stringify(value)));
  }

  #combined(
    word: 'anyOf' | 'oneOf' | 'allOf',
    schema: SchemaObject,
    { path, depth }: { path: string; depth: number },
  ): Expression {
    const options = schema[word];
    if (!Array.isArray(options) || options.length === 0) {
      throw refuse(path, `${word} must be a list of at least one schema`);
    }
    if (options.length > limit.grammarOptionMax) {
      throw refuse(
        path,
        `${word} has ${options.length} options; at most ${limit.grammarOptionMax}`,
      );
    }
    if (word === 'allOf' && options.length > 1) {
      throw refuse(path, 'allOf of more than one schema is not supported; merge them into one');
    }
    const resolve = (option: Schema): Schema => {
      const ref = isObject(option) ? option['$ref'] : undefined;
      return typeof ref === 'string' ? (this.#resolve(ref, path) as Schema) : option; // checked where read
    };
    if (word === 'oneOf' && !areDisjoint(options.map(resolve))) {
      throw refuse(
        path,
        'oneOf is supported only where its options exclude each other by type or by a required ' +
          'property with const; use anyOf',
      );
    }
    return choice(
      ...options.map((option, i) => this.#convert(option, { path: `${path}/${word}/${i}`, depth })),
    );
  }
}

function refOf(schema: SchemaObject, path: string): string {
  const ref = schema['$ref'];
  if (typeof ref !== 'string') throw refuse(path, '$ref must be text');
  return ref;
}

/** Of a JSON pointer in a URI fragment. */
function pointerSteps(ref: string, path: string): string[] {
  if (ref === '#' || ref === '#/') return [];
  if (!ref.startsWith('#/'))
    throw refuse(path, `$ref ${JSON.stringify(ref)}: anchors are not supported`);
  try {
    return ref
      .slice(2)
      .split('/')
      .map((step) => decodeURIComponent(step).replaceAll('~1', '/').replaceAll('~0', '~'));
  } catch {
    throw refuse(path, `$ref ${JSON.stringify(ref)} is no JSON pointer`);
  }
}
