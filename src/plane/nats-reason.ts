// Why a connection to NATS failed, in words for whoever has to mend it: credentials, certificates, TLS on
// one side only. The library's errors, and Node's, are known by their codes.

import { reason } from './nats-fault.ts';

/** What the failed connection had used. */
export type Tried = {
  readonly user: 'password' | 'token' | 'creds' | 'nkey' | null;
  readonly tls: boolean;
  /** Had a certificate of its own. */
  readonly identity: boolean;
};

export function connectReason(error: unknown, tried: Tried): string {
  const code = codeOf(error);
  if (code === 'AUTHORIZATION_VIOLATION') return `authorization violation: ${refused(tried)}`;
  if (code === 'SERVER_OPT_NA' && /tls/.test(String(error))) {
    return 'the server speaks no TLS, which tls:// or a --nats-ca-file or --nats-cert-file asks for; give the server a certificate, or write nats:// and leave these out';
  }
  const certificate = certificateReason(code);
  if (certificate !== null) return certificate;
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') {
    return `its certificate is for another host (${reason(error)}); write the host as the certificate has it`;
  }
  if (tried.tls && (error === undefined || cutShort.has(code) || /alert/i.test(String(error)))) {
    return tried.identity
      ? 'the server ended the TLS handshake; if that goes on, it does not accept the certificate of --nats-cert-file'
      : 'the server ended the TLS handshake; if it asks for a certificate of ours, give --nats-cert-file and --nats-key-file';
  }
  return error === undefined ? 'the connection ended' : reason(error);
}

/** How a connection ends that the server cuts in the middle of the handshake. */
const cutShort: ReadonlySet<string> = new Set(['EBADF', 'ECONNRESET', 'EPIPE']);

function certificateReason(code: string): string | null {
  switch (code) {
    case 'UNABLE_TO_VERIFY_LEAF_SIGNATURE':
    case 'UNABLE_TO_GET_ISSUER_CERT':
    case 'UNABLE_TO_GET_ISSUER_CERT_LOCALLY':
    case 'SELF_SIGNED_CERT_IN_CHAIN':
    case 'DEPTH_ZERO_SELF_SIGNED_CERT':
    case 'CERT_SIGNATURE_FAILURE':
      return 'its certificate comes from an unknown authority (CA); name that authority’s certificate with --nats-ca-file';
    case 'CERT_HAS_EXPIRED':
      return 'its certificate has expired; renew it on the server';
    case 'CERT_NOT_YET_VALID':
      return 'its certificate is not valid yet; compare the clocks of both machines';
    default:
      return null;
  }
}

function refused({ user }: Tried): string {
  switch (user) {
    case 'password':
      return 'the server refuses the user and password of the address';
    case 'token':
      return 'the server refuses the token of the address';
    case 'creds':
      return 'the server refuses the credentials of --nats-creds-file';
    case 'nkey':
      return 'the server refuses the key of --nats-nkey-file';
    case null:
      return 'the server wants credentials; write user:password@ or token@ before the host, or give --nats-creds-file or --nats-nkey-file (that of `tdist --role all` lets programs of its own user in without, if they have the same TMPDIR)';
  }
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : '';
}
