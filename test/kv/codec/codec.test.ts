// Each codec against its stated bound and against the plainest rounding there is, over all kinds of
// numbers; and what becomes of numbers that are none.

import { describe, expect, test } from 'bun:test';
import type { Codec } from '../../../src/kv/codec/codec.ts';
import { codecs } from '../../../src/kv/codec/table.ts';
import { kvDtypes } from '../../../src/protocol/kv-size.ts';
import { geometry, groups, inputs, length } from './inputs.ts';

function through(codec: Codec, source: Float32Array): Float32Array {
  const payload = new Uint8Array(codec.payloadBytes(geometry, source.length / groups / 8));
  codec.encode(source, payload, groups);
  const target = new Float32Array(source.length).fill(Number.NaN);
  codec.decode(payload, target, groups);
  return target;
}

const bytesOf = (values: Float32Array): Buffer => Buffer.from(values.buffer);

const most = { float16: 65_504, bfloat16: 2 ** 127 * (2 - 2 ** -7), int8: 2 ** 127, fp8: 2 ** 127 };

const clamp = (value: number, limit: number): number => Math.max(-limit, Math.min(limit, value));

/** The largest error that the codec's head comment allows for x, m the largest of its group. */
const bounds: Readonly<Record<keyof typeof codecs, (x: number, m: number) => number>> = {
  float32: () => 0,
  float16: (x) => Math.max(Math.abs(x) * 2 ** -11, 2 ** -25),
  bfloat16: (x) => Math.max(Math.abs(x) * 2 ** -8, 2 ** -134),
  int8: (_, m) => 0.50001 * Math.max(m / 127, 2 ** -126),
  fp8: (x, m) => Math.max(Math.abs(x) * 2 ** -4, m * 2 ** -17, 2 ** -130),
};

/** Each group with its largest magnitude. */
function* groupsOf(values: Float32Array): Generator<{ at: number; x: number; m: number }> {
  const size = values.length / groups;
  for (let begin = 0; begin < values.length; begin += size) {
    const group = values.subarray(begin, begin + size);
    const m = Math.max(...group.map(Math.abs));
    for (const [i, x] of group.entries()) yield { at: begin + i, x, m };
  }
}

for (const dtype of kvDtypes) {
  const codec = codecs[dtype];
  describe(dtype, () => {
    test.each(inputs)('%s: within the stated bound', (_, source) => {
      const limit = dtype === 'float32' ? Number.POSITIVE_INFINITY : most[dtype];
      const tame = source.map((x) => clamp(x, limit));
      const found = through(codec, source);
      for (const { at, x, m } of groupsOf(tame)) {
        const error = Math.abs((found[at] ?? Number.NaN) - x);
        if (!(error <= bounds[dtype](x, m))) {
          throw new Error(`${x} became ${found[at]}; the largest of its group is ${m}`);
        }
      }
    });

    test('every number of positions, and not a byte beyond the payload', () => {
      for (let count = 1; count <= geometry.blockTokens; count++) {
        const bytes = codec.payloadBytes(geometry, count);
        const memory = new Uint8Array(bytes + 64).fill(0xee);
        const source = (inputs[0]?.[1] ?? new Float32Array()).subarray(0, groups * count * 8);
        codec.encode(source, memory.subarray(32, 32 + bytes), groups);
        expect(memory.subarray(0, 32).every((byte) => byte === 0xee)).toBeTrue();
        expect(memory.subarray(32 + bytes).every((byte) => byte === 0xee)).toBeTrue();
        const target = new Float32Array(source.length + 8).fill(7);
        codec.decode(memory.subarray(32, 32 + bytes), target.subarray(0, source.length), groups);
        expect([...target.subarray(0, source.length)]).toEqual([...through(codec, source)]);
        expect(target.subarray(source.length).every((value) => value === 7)).toBeTrue();
      }
    });

    test('the same bytes at each run', () => {
      for (const [, source] of inputs) {
        const [a, b] = [0xee, 0x11].map((before) => {
          const payload = new Uint8Array(codec.payloadBytes(geometry, 16)).fill(before);
          codec.encode(source, payload, groups);
          return payload;
        });
        expect(a).toEqual(b ?? new Uint8Array());
      }
    });
  });
}

describe('what is no number', () => {
  const odd = [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 1, -2, 0];
  const source = Float32Array.from({ length: groups * length }, (_, i) => odd[i % 6] ?? 0);

  test('float32 keeps it', () => {
    expect(bytesOf(through(codecs.float32, source))).toEqual(bytesOf(source));
  });

  test.each(['float16', 'bfloat16', 'int8', 'fp8'] as const)('%s: 0 and ± the largest', (dtype) => {
    const found = through(codecs[dtype], source);
    const limit = most[dtype];
    const keepsOthers = dtype === 'float16' || dtype === 'bfloat16';
    for (const [i, value] of found.entries()) {
      const wanted = [0, limit, -limit, keepsOthers ? 1 : 0, keepsOthers ? -2 : 0, 0][i % 6] ?? 0;
      expect(Math.abs(value - wanted)).toBeLessThanOrEqual(Math.abs(wanted) * 2 ** -22);
    }
  });

  test.each(['int8', 'fp8'] as const)('%s: only its own group suffers', (dtype) => {
    const [, bell = new Float32Array()] = inputs[0] ?? [];
    const broken = bell.slice();
    broken[length * 3 + 5] = Number.NaN;
    broken[length * 7 + 5] = Number.POSITIVE_INFINITY;
    const [whole, found] = [through(codecs[dtype], bell), through(codecs[dtype], broken)];
    const differ = [...found.keys()].filter((at) => found[at] !== whole[at]);
    expect(differ.every((at) => at === length * 3 + 5 || Math.floor(at / length) === 7)).toBeTrue();
    expect(differ).toContain(length * 7 + 6);
    expect(found[length * 3 + 5]).toBe(0);
  });
});

describe('rounding', () => {
  /** The nearer neighbour in `all` (ascending magnitudes), the one of even index where both are near. */
  function nearest(all: readonly number[], x: number): number {
    const magnitude = Math.abs(x);
    const above = all.findIndex((value) => value >= magnitude);
    const high = above < 0 ? all.length - 1 : above;
    const low = Math.max(0, high - 1);
    const [down, up] = [magnitude - (all[low] ?? 0), (all[high] ?? 0) - magnitude];
    const index = down === up ? (low % 2 === 0 ? low : high) : down < up ? low : high;
    return (all[index] ?? 0) * Math.sign(x);
  }

  test.each(inputs)('%s: float16 as Math.f16round', (_, source) => {
    const wanted = source.map((x) => clamp(Math.f16round(clamp(x, 65_504)), 65_504));
    expect(through(codecs.float16, source)).toEqual(wanted);
  });

  test('float16 and bfloat16: every number they have stays, to the sign of 0', () => {
    const patterns = Uint16Array.from({ length: 65_536 }, (_, i) => i);
    const halves = Float32Array.from(new Float16Array(patterns.buffer));
    const uppers = new Float32Array(Uint32Array.from(patterns, (bits) => bits << 16).buffer);
    for (const [codec, all] of [
      [codecs.float16, halves],
      [codecs.bfloat16, uppers],
    ] as const) {
      const finite = all.map((value) => (Number.isFinite(value) ? value : 0));
      // 65,536 is no multiple of 12 groups; the codec does not mind.
      const padded = new Float32Array(12 * 8 * 683).map((_, i) => finite[i] ?? 0);
      expect(through(codec, padded)).toEqual(padded);
    }
  });

  test.each(inputs)('%s: bfloat16 to the nearest, halves to even', (_, source) => {
    const found = through(codecs.bfloat16, source);
    for (const [i, x] of source.entries()) {
      const [bits = 0] = new Uint32Array(Float32Array.of(clamp(x, most.bfloat16)).buffer);
      const numberOf = (upper: number): number =>
        new Float32Array(Uint32Array.of(upper << 16).buffer)[0] ?? Number.NaN;
      const upper = (bits & 0x7fff_ffff) >>> 16;
      const near = nearest(
        upper % 2 === 0
          ? [numberOf(upper), numberOf(upper + 1)]
          : [numberOf(upper - 1), numberOf(upper), numberOf(upper + 1)],
        clamp(x, most.bfloat16),
      );
      expect(found[i] === near || Object.is(found[i], x)).toBeTrue();
    }
  });

  /** Magnitudes of E4M3, from the table in the OFP8 specification: 0, 1/512 … 7/512, 2⁻⁶ … 448. */
  const e4m3 = Array.from({ length: 127 }, (_, code) => {
    const [exponent, fraction] = [Math.floor(code / 8), code % 8];
    return exponent === 0 ? fraction * 2 ** -9 : (8 + fraction) * 2 ** (exponent - 10);
  });

  test('fp8: the numbers are E4M3’s', () => {
    expect([e4m3[1], e4m3[7], e4m3[8], e4m3[126]]).toEqual([2 ** -9, 7 / 512, 2 ** -6, 448]);
  });

  test.each(inputs)(
    '%s: fp8 to the nearest of its scale’s numbers, halves to even',
    (_, source) => {
      const found = through(codecs.fp8, source);
      const tame = source.map((x) => clamp(x, most.fp8));
      for (const { at, x, m } of groupsOf(tame)) {
        let scale = 2 ** -120;
        while (scale * 448 < m) scale *= 2;
        expect(Math.abs(found[at] ?? 0)).toBe(Math.abs(nearest(e4m3, x / scale) * scale));
        expect(Math.sign(found[at] ?? 0) * Math.sign(x)).not.toBe(-1);
      }
    },
  );

  test('fp8: all 254 numbers stay', () => {
    const all = Float32Array.from({ length: groups * 256 }, (_, i) => {
      const code = i % 256;
      return (e4m3[code % 128] ?? 0) * (code < 128 ? 1 : -1) * 2 ** (Math.floor(i / 256) * 9 - 60);
    });
    expect(through(codecs.fp8, all)).toEqual(all);
  });

  test('int8: all 255 numbers of a scale stay', () => {
    const all = Float32Array.from({ length: groups * 256 }, (_, i) => {
      const step = Math.max(-127, (i % 256) - 128);
      return step * 2 ** (Math.floor(i / 256) * 20 - 120);
    });
    expect(through(codecs.int8, all)).toEqual(all);
  });
});
