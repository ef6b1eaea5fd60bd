// `--request-plane-uri` in one written form: scheme and port always there, credentials kept. What an
// address is, plane/uri.ts decides; here only our port comes in, which is not NATS's own 4222.

import { parsePlaneUris } from '../plane/uri.ts';

const planePortDefault = '4223';

/** Faults with code `usage`. `host` → `nats://host:4223`; `tls://user:pass@host:5` stays as it is. */
export function planeUris(texts: readonly string[]): readonly string[] {
  return texts.map((text) => {
    const trimmed = text.trim();
    parsePlaneUris(trimmed);
    const url = new URL(trimmed.includes('://') ? trimmed : `nats://${trimmed}`);
    if (url.port === '') url.port = planePortDefault;
    return url.href.replace(/\/$/, '');
  });
}

/** An address as it may be shown: credentials replaced by `***`. */
export function redactUri(uri: string): string {
  return uri.replace(/^([a-z]+:\/\/)?.*@/is, '$1***@');
}
