// The files that a gateway reads at its start and again when they change: keys and certificate. What is
// wrong at the start ends it; what is wrong later is one line, and what was there before stays.

import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { Fault, toFault } from '../std/fault.ts';
import { type KeyEntry, parseKeyFile } from './key-file.ts';

/** How often a change of them is looked for. */
export const lookEveryMs = 1000;

/** Paths. */
export type TlsFiles = { readonly certFile: string; readonly keyFile: string };
/** PEM. */
export type TlsPair = { readonly cert: string; readonly key: string };

/** Throws a Fault `usage`. */
export function readKeyFile(path: string): readonly KeyEntry[] {
  return parseKeyFile(read(path, '--api-key-file', 'a file with one key a line'), path);
}

/** Throws a Fault `usage` that names file and mend. */
export function readTls({ certFile, keyFile }: TlsFiles): TlsPair {
  const cert = read(certFile, '--tls-cert', 'a certificate chain, PEM');
  const key = read(keyFile, '--tls-key', 'its private key, PEM');
  const certificate = parsed(`--tls-cert ${certFile}: no certificate in PEM`, () => {
    return new X509Certificate(cert);
  });
  const own = parsed(`--tls-key ${keyFile}: no private key in PEM without a passphrase`, () => {
    return createPrivateKey(key);
  });
  if (certificate.checkPrivateKey(own)) return { cert, key };
  const text = `--tls-key ${keyFile} is not the key of the first certificate in --tls-cert ${certFile}`;
  throw new Fault('usage', `${text}; give the two that were made together`);
}

function read(path: string, flag: string, wanted: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (cause) {
    throw new Fault('usage', `${flag} ${path}: ${toFault(cause).message}; wanted ${wanted}`, {
      cause,
    });
  }
}

/** Its message may quote the file: it is left out. */
function parsed<T>(wrong: string, parse: () => T): T {
  try {
    return parse();
  } catch {
    throw new Fault('usage', `${wrong}; see its first line, and that both flags are not swapped`);
  }
}
