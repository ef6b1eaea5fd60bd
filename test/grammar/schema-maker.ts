// Schemas drawn at random, of the kinds that people ask for. All can be met, and by short texts.

import type { Chance } from '../../src/std/prng.ts';

export function makeSchema(chance: Chance): unknown {
  const maker = new SchemaMaker(chance);
  const properties = Object.fromEntries(
    ['first', 'second', 'a "quoted" key', 'vierte ä'].map((name) => [name, maker.value(3)]),
  );
  const names = Object.keys(properties);
  return {
    type: 'object',
    properties,
    required: names.filter(() => maker.below(3) > 0),
    additionalProperties: maker.below(4) === 0 ? { type: 'integer' } : false,
    $defs: maker.definitions,
  };
}

class SchemaMaker {
  readonly definitions: Record<string, unknown> = {};
  readonly #chance: Chance;

  constructor(chance: Chance) {
    this.#chance = chance;
  }

  below(count: number): number {
    return this.#chance.u32() % count;
  }

  value(depth: number): unknown {
    const leaves = [
      () => this.#string(),
      () => this.#number(),
      () => this.#integer(),
      () => ({ type: 'boolean' }),
      () => ({ enum: ['red', 'green', 'gr', 7, null, { a: [1] }].slice(this.below(3)) }),
      () => ({ const: ['x\ny', 12.5, true, null][this.below(4)] }),
      () => ({ type: ['null', 'integer'] }),
      () => ({
        type: 'string',
        pattern: ['^[a-c]{2,4}$', '^\\d+(-\\d{2})?$', 'x|yz'][this.below(3)],
      }),
    ];
    const branches = [
      () => this.#object(depth - 1),
      () => this.#array(depth - 1),
      () => ({ anyOf: [this.value(depth - 1), this.value(depth - 1)] }),
      () => this.#reference(depth - 1),
      () => ({ prefixItems: [this.value(0), this.value(0)], minItems: 1, items: false }),
    ];
    const makers = depth > 0 ? [...leaves, ...branches] : leaves;
    return makers[this.below(makers.length)]?.();
  }

  #string(): unknown {
    const minLength = this.below(4);
    return { type: 'string', minLength, maxLength: minLength + this.below(20) };
  }

  #integer(): unknown {
    const minimum = this.below(4000) - 2000;
    return { type: 'integer', minimum, exclusiveMaximum: minimum + 1 + this.below(3000) };
  }

  #number(): unknown {
    const minimum = (this.below(40_000) - 20_000) / 100;
    return { type: 'number', exclusiveMinimum: minimum, maximum: minimum + 0.07 + this.below(99) };
  }

  #object(depth: number): unknown {
    const properties = { id: this.value(depth), tags: this.value(depth), x: this.value(depth) };
    return { type: 'object', properties, required: ['id', 'x'].slice(this.below(3)) };
  }

  #array(depth: number): unknown {
    const minItems = this.below(3);
    return {
      type: 'array',
      items: this.value(depth),
      minItems,
      maxItems: minItems + this.below(3),
    };
  }

  #reference(depth: number): unknown {
    const name = `d${Object.keys(this.definitions).length}`;
    this.definitions[name] = true; // taken: what it holds may define more
    this.definitions[name] = this.value(depth);
    return { $ref: `#/$defs/${name}` };
  }
}
