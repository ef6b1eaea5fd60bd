import { describe, expect, test } from 'bun:test';
import { merged } from '../../src/api/merge.ts';
import { seededChance } from '../../src/std/prng.ts';

const nextTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

const forever = (): Promise<never> => new Promise(() => undefined);

async function* counting(name: string, count: number, turns: () => number): AsyncGenerator<string> {
  for (let i = 0; i < count; i++) {
    for (let left = turns(); left > 0; left--) await nextTurn();
    yield `${name}${i}`;
  }
}

describe('merged', () => {
  test('all values of each source, in its order, whatever their pace (30 seeds)', async () => {
    for (let seed = 0; seed < 30; seed++) {
      const chance = seededChance(seed);
      const below = (count: number): number => chance.u32() % count;
      const counts = Array.from({ length: below(6) }, () => below(9));
      const sources = counts.map((count, i) => counting(`${i}:`, count, () => below(4)));
      const found = await Array.fromAsync(merged(sources));
      expect(found).toHaveLength(counts.reduce((a, b) => a + b, 0));
      for (const [i, count] of counts.entries()) {
        const own = found.filter((value) => value.startsWith(`${i}:`));
        expect(own).toEqual(Array.from({ length: count }, (_, k) => `${i}:${k}`));
      }
    }
  });

  test('a value leaves when it is there: nobody waits for a slower source', async () => {
    const never: AsyncIterator<string> = { next: forever };
    const stream = merged([never, counting('a', 3, () => 1)]);
    for (const wanted of ['a0', 'a1', 'a2']) expect((await stream.next()).value).toBe(wanted);
  });

  test('a source is asked only when its last value was taken', async () => {
    let asked = 0;
    const eager: AsyncIterator<number> = { next: async () => ({ done: false, value: asked++ }) };
    const stream = merged([eager, { next: forever }]);
    for (let taken = 0; taken < 5; taken++) {
      await stream.next();
      for (let turn = 0; turn < 10; turn++) await nextTurn();
      expect(asked).toBeLessThanOrEqual(taken + 2);
    }
  });

  test('fails as the source that fails, after what came before', async () => {
    async function* failing(): AsyncGenerator<string> {
      yield 'x';
      throw new Error('broken');
    }
    const stream = merged([failing(), { next: forever }]);
    expect((await stream.next()).value).toBe('x');
    await expect(stream.next()).rejects.toThrow('broken');
  });
});
