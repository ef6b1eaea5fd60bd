// The codecs by name and by the code in block headers.

import type { KvDtype } from '../../protocol/kv-size.ts';
import { bfloat16 } from './bfloat16.ts';
import type { Codec } from './codec.ts';
import { float16 } from './float16.ts';
import { float32 } from './float32.ts';
import { fp8 } from './fp8.ts';
import { int8 } from './int8.ts';

export const codecs: Readonly<Record<KvDtype, Codec>> = { float32, float16, bfloat16, int8, fp8 };

const byCode = new Map(Object.values(codecs).map((codec) => [codec.code, codec]));

/** Undefined: a code of a later version, or of none. */
export function codecOfCode(code: number): Codec | undefined {
  return byCode.get(code);
}
