// X.509 certificates for tests, made on the spot (RFC 5280): no private key lies in the repository and
// none runs out. P-256 with SHA-256 throughout.

import { createSign, generateKeyPairSync, type KeyObject } from 'node:crypto';

export type Certificate = { readonly name: string; readonly pem: string; readonly key: string };
type Signer = Certificate & { readonly privateKey: KeyObject };

/** An authority that signs itself. */
export function authority(name: string): Signer {
  return make({ name, names: [], days: 1, signer: null });
}

/** @param options.names hosts and IPv4 addresses it is for; @param options.days below 0: expired. */
export function certificate(options: {
  readonly name: string;
  readonly names?: readonly string[];
  readonly days?: number;
  readonly signer: Signer;
}): Certificate {
  return make({ names: [], days: 1, ...options });
}

function make(options: {
  readonly name: string;
  readonly names: readonly string[];
  readonly days: number;
  readonly signer: Signer | null;
}): Signer {
  const { name, names, days, signer } = options;
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const endMs = Date.now() + days * 86_400_000;
  const extension =
    signer === null ? [basicConstraints] : names.length > 0 ? [altNames(names)] : [];
  const body = tag(
    0x30,
    tag(0xa0, tag(0x02, Buffer.of(2))), // version 3
    tag(0x02, Buffer.of(1, ...crypto.getRandomValues(new Uint8Array(8)))), // serial number
    ecdsaWithSha256,
    nameOf(signer?.name ?? name),
    tag(0x30, time(endMs - 2 * 86_400_000), time(endMs)),
    nameOf(name),
    publicKey.export({ type: 'spki', format: 'der' }),
    ...(extension.length === 0 ? [] : [tag(0xa3, tag(0x30, ...extension))]),
  );
  const signature = createSign('sha256')
    .update(body)
    .sign(signer?.privateKey ?? privateKey);
  const whole = tag(0x30, body, ecdsaWithSha256, tag(0x03, Buffer.of(0), signature));
  const base64 = whole.toString('base64').replace(/(.{64})(?=.)/g, '$1\n');
  return {
    name,
    pem: `-----BEGIN CERTIFICATE-----\n${base64}\n-----END CERTIFICATE-----\n`,
    key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    privateKey,
  };
}

function tag(type: number, ...parts: readonly Uint8Array[]): Buffer {
  const content = Buffer.concat(parts);
  const { length } = content;
  const long = length < 256 ? [0x81, length] : [0x82, length >> 8, length & 255];
  const size = length < 128 ? [length] : long; // the shortest form, as DER asks
  return Buffer.concat([Buffer.of(type, ...size), content]);
}

const oid = (hex: string): Buffer => tag(0x06, Buffer.from(hex, 'hex'));
const ecdsaWithSha256 = tag(0x30, oid('2a8648ce3d040302'));
/** Critical; it may sign others. */
const basicConstraints = tag(
  0x30,
  oid('551d13'),
  tag(0x01, Buffer.of(0xff)),
  tag(0x04, tag(0x30, tag(0x01, Buffer.of(0xff)))),
);

function nameOf(commonName: string): Buffer {
  return tag(0x30, tag(0x31, tag(0x30, oid('550403'), tag(0x0c, Buffer.from(commonName)))));
}

function altNames(names: readonly string[]): Buffer {
  const each = names.map((name) =>
    /^[\d.]+$/.test(name)
      ? tag(0x87, Buffer.from(name.split('.').map(Number)))
      : tag(0x82, Buffer.from(name)),
  );
  return tag(0x30, oid('551d11'), tag(0x04, tag(0x30, ...each)));
}

function time(ms: number): Buffer {
  const text = new Date(ms).toISOString().replace(/[-:T]|\.\d+/g, '');
  return tag(0x18, Buffer.from(text)); // GeneralizedTime: YYYYMMDDHHMMSSZ
}
