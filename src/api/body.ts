// A request's body as JSON, read by ourselves: Elysia takes a form where JSON was meant, and a decoder
// by itself takes broken UTF-8 for text. Everything here has a limit.

import { limit } from '../protocol/limit.ts';
import { type Clock, withDeadline } from '../std/clock.ts';
import { Fault } from '../std/fault.ts';
import { addressOf } from './address.ts';
import type { Arrival, Arriving } from './arriving.ts';
import { clip } from './fault.ts';
import { parseJson } from './json.ts';

export type BodyBounds = {
  readonly bytesMax: number;
  /** For the whole body to arrive: a client that sends a byte now and then must not stay for ever. */
  readonly timeoutMs: number;
};

export type BodyPorts = {
  readonly clock: Clock;
  readonly bodyBounds: BodyBounds;
  /** All bodies on their way in. */
  readonly arriving: Arriving;
};

export type JsonObject = Readonly<Record<string, unknown>>;

export async function readJsonObject(
  request: Request,
  ports: BodyPorts,
): Promise<Record<string, unknown>> {
  const { bytesMax, timeoutMs } = ports.bodyBounds;
  const announced = checkHeaders(request.headers, bytesMax);
  const late = (): Fault =>
    new Fault('request_timeout', `The request body did not arrive within ${timeoutMs} ms.`);
  const gone = new AbortController();
  const crowded = Promise.withResolvers<never>();
  const body = { address: addressOf(request), bytes: announced };
  const arrival = ports.arriving.enter(body, () => crowded.reject(tooSlow()));
  const reading = readBytes(request, { bytesMax, gone: gone.signal, arrival });
  const whole = Promise.race([reading, crowded.promise]);
  const bytes = await withDeadline(ports.clock, timeoutMs, whole, late).finally(() => {
    arrival.leave();
    gone.abort();
  });
  const value = parse(decode(bytes));
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return { ...value };
  const found = value === null ? 'null' : Array.isArray(value) ? 'a list' : `a ${typeof value}`;
  throw new Fault('invalid_request', `The request body is ${found}; it must be a JSON object.`);
}

/** Bytes that are announced; 0: it says nothing of them. */
function checkHeaders(headers: Headers, bytesMax: number): number {
  const contentType = headers.get('content-type') ?? '';
  const mediaType = contentType.split(';')[0]?.trim().toLowerCase();
  if (mediaType !== 'application/json') {
    throw new Fault(
      'media_type',
      `Content-Type is ${mediaType === '' ? 'missing' : `'${clip(mediaType ?? '', 100)}'`}; send ` +
        "'application/json'. With curl: -H 'Content-Type: application/json'.",
    );
  }
  const encoding = headers.get('content-encoding') ?? 'identity';
  if (encoding.trim().toLowerCase() !== 'identity') {
    throw new Fault(
      'media_type',
      `Content-Encoding is '${clip(encoding, 100)}'; send the body uncompressed.`,
    );
  }
  const announced = announcedBytes(headers.get('content-length'));
  if (announced > bytesMax) throw tooLarge(bytesMax);
  return announced;
}

/** Bun joins several headers that say the same: `5, 5` is above no bound, being no number. */
function announcedBytes(told: string | null): number {
  if (told === null || /^\d+$/.test(told)) return Number(told ?? 0);
  const found = `Content-Length is '${clip(told, 100)}'`;
  throw new Fault('invalid_request', `${found}; send it once, as a whole number of bytes.`);
}

async function readBytes(
  request: Request,
  options: { readonly bytesMax: number; readonly gone: AbortSignal; readonly arrival: Arrival },
): Promise<Uint8Array> {
  const { bytesMax, gone, arrival } = options;
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  try {
    // A length that was told has been checked, and Bun takes no more than it: half as dear as a stream.
    if (request.headers.has('content-length')) return await request.bytes();
    // Leaving the loop cancels the stream: what the client still sends is not kept.
    for await (const chunk of request.body ?? []) {
      bytes += chunk.byteLength;
      if (bytes > bytesMax) throw tooLarge(bytesMax);
      if (gone.aborted) break;
      arrival.grow(chunk.byteLength);
      chunks.push(chunk);
    }
  } catch (cause) {
    if (cause instanceof Fault) throw cause;
    throw new Fault('cancelled', 'The connection closed before the whole body was here.', {
      cause,
    });
  }
  return Buffer.concat(chunks, bytes);
}

function decode(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new Fault('invalid_request', 'The request body is not valid UTF-8.', { cause });
  }
}

function parse(text: string): unknown {
  if (text.trim() === '') {
    throw new Fault('invalid_request', 'The request body is empty; it must be a JSON object.');
  }
  return parseJson(text, {
    depthMax: limit.jsonDepthMax,
    nameCountMax: limit.jsonNameCountMax,
    exact: exactFields,
  });
}

/** Clients send seeds of 64 bits. */
const exactFields: ReadonlySet<string> = new Set(['seed']);

function tooSlow(): Fault {
  return new Fault(
    'request_timeout',
    'The request body was still on its way when too many others were; send it without pauses.',
  );
}

function tooLarge(bytesMax: number): Fault {
  return new Fault('too_large', `The request body is larger than ${bytesMax} bytes.`);
}
