// Files with which a connection to NATS proves who it is and checks whom it talks to. Read at the start,
// so that a wrong one is a line and an end, and again for each connection: credentials are renewed in
// place, and the next connection uses the new ones. What is wrong is one line with flag, path and mend.

import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { Fault } from '../std/fault.ts';
import { isUserSeed } from './nkey.ts';

/** Paths; null where the user named none. */
export type NatsFiles = {
  readonly credsFile: string | null;
  readonly nkeyFile: string | null;
  readonly caFile: string | null;
  readonly certFile: string | null;
  readonly keyFile: string | null;
};

export const noNatsFiles: NatsFiles = {
  credsFile: null,
  nkeyFile: null,
  caFile: null,
  certFile: null,
  keyFile: null,
};

/** The flag behind each file. */
export const natsFlags: Readonly<Record<keyof NatsFiles, string>> = {
  credsFile: '--nats-creds-file',
  nkeyFile: '--nats-nkey-file',
  caFile: '--nats-ca-file',
  certFile: '--nats-cert-file',
  keyFile: '--nats-key-file',
};

export const natsFileNames = ['credsFile', 'nkeyFile', 'caFile', 'certFile', 'keyFile'] as const;

/** What the files hold. For the connection alone: never to be logged. */
export type NatsSecrets = {
  /** A user's JWT and seed, or the seed alone. */
  readonly user: { readonly jwt: string | null; readonly seed: string } | null;
  /** Certificates of the authorities to trust, PEM; null: those of the system. */
  readonly authorities: readonly string[] | null;
  /** Our own certificate chain and its key, PEM. */
  readonly identity: { readonly cert: string; readonly key: string } | null;
};

/** Throws a Fault `usage`. */
export function readNatsFiles(files: NatsFiles): NatsSecrets {
  if (files.credsFile !== null && files.nkeyFile !== null) {
    const text = `${natsFlags.credsFile} and ${natsFlags.nkeyFile} are two ways to say who we are`;
    throw new Fault('usage', `${text}; give one of them`);
  }
  return { user: readUser(files), authorities: readAuthorities(files), identity: readOwn(files) };
}

function readUser(files: NatsFiles): NatsSecrets['user'] {
  const creds = read(files, 'credsFile', 'a file that `nsc generate creds` has written');
  if (creds !== null) {
    const [jwt = '', seed = ''] = creds.text
      .split(/^\s*-{3,}.*-{3,}\s*$/m)
      .map((part) => part.trim())
      .filter((part) => /^[A-Za-z0-9_.-]+$/.test(part));
    if (!/^[\w-]+\.[\w-]+\.[\w-]+$/.test(jwt)) throw creds.wrong('no user JWT between its markers');
    if (!isUserSeed(seed)) throw creds.wrong('no user seed (SU…) behind its JWT, or a damaged one');
    return { jwt, seed };
  }
  const nkey = read(
    files,
    'nkeyFile',
    'a file with the seed that `nsc` or `nk -gen user` gave out',
  );
  if (nkey === null) return null;
  const seed =
    nkey.text
      .split(/\r?\n/)
      .map((line) => line.trim())
      .find((line) => line !== '') ?? '';
  if (!isUserSeed(seed)) throw nkey.wrong('its first line is no user seed (SU…), or a damaged one');
  return { jwt: null, seed };
}

function readAuthorities(files: NatsFiles): readonly string[] | null {
  const found = read(files, 'caFile', 'the authority’s certificate in PEM form');
  if (found === null) return null;
  const authorities = certificatesOf(found);
  return authorities;
}

function readOwn(files: NatsFiles): NatsSecrets['identity'] {
  const cert = read(files, 'certFile', 'our own certificate in PEM form');
  const key = read(files, 'keyFile', 'the certificate’s private key in PEM form, unencrypted');
  if (cert === null && key === null) return null;
  if (cert === null || key === null) {
    const [given, missing] =
      cert === null ? (['keyFile', 'certFile'] as const) : (['certFile', 'keyFile'] as const);
    throw new Fault('usage', `${natsFlags[given]} without ${natsFlags[missing]}; give both`);
  }
  const [first] = certificatesOf(cert);
  if (!fits(first ?? '', key)) {
    throw key.wrong(`not the key of the certificate ${JSON.stringify(files.certFile)}`);
  }
  return { cert: cert.text, key: key.text };
}

function fits(cert: string, key: Found): boolean {
  let parsed: ReturnType<typeof createPrivateKey>;
  try {
    parsed = createPrivateKey(key.text);
  } catch {
    throw key.wrong('no private key in PEM form, or an encrypted one');
  }
  return new X509Certificate(cert).checkPrivateKey(parsed);
}

/** Each certificate of a PEM file by itself; at least one, and all of them readable. */
function certificatesOf(found: Found): readonly string[] {
  const blocks =
    found.text.match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g) ?? [];
  if (blocks.length === 0) throw found.wrong('no certificate in PEM form');
  for (const [index, block] of blocks.entries()) {
    try {
      new X509Certificate(block);
    } catch {
      throw found.wrong(`certificate ${index + 1} of ${blocks.length} cannot be read`);
    }
  }
  return blocks;
}

type Found = { readonly text: string; wrong(found: string): Fault };

function read(files: NatsFiles, which: keyof NatsFiles, wanted: string): Found | null {
  const path = files[which];
  if (path === null) return null;
  const wrong = (found: string, cause?: unknown): Fault =>
    new Fault('usage', `${natsFlags[which]} ${JSON.stringify(path)}: ${found}; give ${wanted}`, {
      cause,
    });
  try {
    return { text: readFileSync(path, 'utf8'), wrong };
  } catch (cause) {
    const code = cause instanceof Error && 'code' in cause ? String(cause.code) : 'error';
    const known: Readonly<Record<string, string>> = {
      ENOENT: 'no such file',
      EACCES: 'may not be read by this user',
      EISDIR: 'is a folder',
    };
    throw wrong(known[code] ?? `cannot be read (${code})`, cause);
  }
}
