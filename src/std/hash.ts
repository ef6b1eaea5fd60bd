// The two hashes we use, in one place: xxHash3 guards bytes against damage (15 GiB/s here), SHA-256
// names things (models, tokenizers, cache files). Neither is ours.

/** xxHash3-64 of `bytes` as 16 hex digits. */
export function checksum(bytes: Uint8Array): string {
  return Bun.hash.xxHash3(bytes).toString(16).padStart(16, '0');
}

/** SHA-256 of what comes piece by piece. */
export function sha256(): Bun.CryptoHasher {
  return new Bun.CryptoHasher('sha256');
}

/** SHA-256 of the parts, in order, as 64 hex digits. */
export function digest(...parts: readonly (string | Uint8Array)[]): string {
  const hasher = new Bun.CryptoHasher('sha256');
  for (const part of parts) hasher.update(part);
  return hasher.digest('hex');
}
