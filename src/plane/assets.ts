// A model's text files, fetched in slices from any worker that announces their digest, checked against
// it, parsed, and kept. So a gateway needs no model files of its own.

import { limit } from '../protocol/limit.ts';
import { type AssetMessage, assetReplySchema, protocolVersion } from '../protocol/message.ts';
import type { ServedModel, TextAssets } from '../protocol/request.ts';
import type { Subjects } from '../protocol/subject.ts';
import { Fault, toFault } from '../std/fault.ts';
import { digest } from '../std/hash.ts';
import type { Bus } from './bus.ts';
import { decode, encode } from './codec.ts';
import type { Registry } from './registry.ts';

const keptCountMax = 16;
const assetBytesMax = 256 * 1024 * 1024;

export class AssetStore {
  readonly #ports: { bus: Bus; subjects: Subjects; registry: Registry };
  /** By digest, oldest first; a fetch under way is shared by all who ask. */
  readonly #kept = new Map<string, Promise<TextAssets>>();

  constructor(ports: { bus: Bus; subjects: Subjects; registry: Registry }) {
    this.#ports = ports;
  }

  get(model: ServedModel): Promise<TextAssets> {
    const key = model.textDigest;
    const known = this.#kept.get(key);
    if (known !== undefined) return known;
    const fetched = this.#fetchFromAny(model);
    this.#kept.set(key, fetched);
    fetched.catch(() => this.#kept.delete(key)); // the next one who asks tries again
    const oldest = this.#kept.keys().next();
    if (this.#kept.size > keptCountMax && !oldest.done) this.#kept.delete(oldest.value);
    return fetched;
  }

  async #fetchFromAny({ name, textDigest }: ServedModel): Promise<TextAssets> {
    const workers = this.#ports.registry
      .workers()
      .filter(({ card }) => card.textDigest === textDigest);
    let last = new Fault('no_worker', `no worker with the tokenizer of ${name} is alive`);
    for (const { worker } of workers) {
      try {
        return await this.#fetch(worker, textDigest);
      } catch (error) {
        last = toFault(error);
      }
    }
    throw new Fault(last.code, `tokenizer of ${name}: ${last.message}`, { cause: last });
  }

  async #fetch(worker: string, textDigest: string): Promise<TextAssets> {
    const [tokenizer, tokenizerConfig] = await Promise.all([
      this.#fetchFile(worker, 'tokenizer'),
      this.#fetchFile(worker, 'tokenizerConfig'),
    ]);
    const found = digest(tokenizer, tokenizerConfig);
    if (found !== textDigest) {
      const text = `worker ${worker} sent files of digest ${found}, announced was ${textDigest}`;
      throw new Fault('plane', text);
    }
    return {
      tokenizer: parse(tokenizer, worker, 'tokenizer.json'),
      tokenizerConfig: parse(tokenizerConfig, worker, 'tokenizer_config.json'),
    };
  }

  async #fetchFile(worker: string, name: AssetMessage['name']): Promise<Uint8Array> {
    const { bus, subjects } = this.#ports;
    const parts: Uint8Array[] = [];
    let offset = 0;
    for (;;) {
      const message: AssetMessage = { v: protocolVersion, type: 'asset', name, offset };
      const payload = encode(message);
      const timeoutMs = limit.replyTimeoutMs;
      const reply = await bus.request(subjects.worker(worker, 'asset'), payload, { timeoutMs });
      const { totalBytes, slice } = decode(assetReplySchema, reply, `asset of worker ${worker}`);
      const bytes = Buffer.from(slice, 'base64');
      parts.push(bytes);
      offset += bytes.byteLength;
      if (offset === totalBytes) return Buffer.concat(parts);
      const isShort = bytes.byteLength < limit.assetSliceBytesMin;
      if (isShort || offset > totalBytes || totalBytes > assetBytesMax) {
        const text = `worker ${worker}: ${name} of ${totalBytes} bytes, slice to ${offset}`;
        throw new Fault('plane', text);
      }
    }
  }
}

function parse(bytes: Uint8Array, worker: string, file: string): unknown {
  try {
    return JSON.parse(new TextDecoder().decode(bytes));
  } catch (cause) {
    throw new Fault('config', `${file} of worker ${worker} is no JSON`, { cause });
  }
}
