// How one address becomes the NATS library's connection options. Types of the library alone: its code is
// plane/nats.ts's.

import { isIP } from 'node:net';
import { checkServerIdentity, type PeerCertificate } from 'node:tls';
import type { ConnectionOptions } from 'nats';
import type { NatsSecrets } from './nats-files.ts';
import type { Tried } from './nats-reason.ts';
import { type PlaneUri, parsePlaneUris } from './uri.ts';

export const connectTimeoutMs = 5000;

/** All but the user of a credentials or nkey file, which takes the library's code. */
export function connectionOptions(
  uri: PlaneUri,
  name: string,
  secrets: NatsSecrets,
): ConnectionOptions {
  return {
    servers: uri.host.includes(':') ? `[${uri.host}]:${uri.port}` : `${uri.host}:${uri.port}`,
    name,
    timeout: connectTimeoutMs,
    reconnect: false,
    resolve: false, // the library asks DNS servers alone and would miss /etc/hosts
    noAsyncTraces: true, // a stack trace per request is dear
    pingInterval: 5000,
    maxPingOut: 2,
    ...(wantsTls(uri, secrets) ? { tls: tlsFor(uri, secrets) } : {}),
    ...(uri.token === null ? {} : { token: uri.token }),
    ...(uri.user === null ? {} : { user: uri.user, pass: uri.password ?? '' }),
  };
}

/**
 * Whoever names certificates wants encryption, whatever the scheme: else somebody in between could
 * say that the server has none.
 */
function wantsTls(uri: PlaneUri, { authorities, identity }: NatsSecrets): boolean {
  return uri.tls || authorities !== null || identity !== null;
}

/** Credentials of the address are for it alone and go before those of files. */
export function usesFile(uri: PlaneUri): boolean {
  return uri.user === null && uri.token === null;
}

/** For the words about a failure. */
export function triedWith(uri: PlaneUri, secrets: NatsSecrets): Tried {
  const file = secrets.user === null ? null : secrets.user.jwt === null ? 'nkey' : 'creds';
  const address = uri.token === null ? 'password' : 'token';
  return {
    user: usesFile(uri) ? file : address,
    tls: wantsTls(uri, secrets),
    identity: secrets.identity !== null,
  };
}

/** The library copies every key into Node's `tls.connect`; its type lists only some of them. */
type TlsOptions = Omit<NonNullable<ConnectionOptions['tls']>, 'ca'> & {
  servername: string | undefined;
  host: string;
  ca?: string[];
  checkServerIdentity: (host: string, certificate: PeerCertificate) => Error | undefined;
};

function tlsFor(uri: PlaneUri, secrets: NatsSecrets): NonNullable<ConnectionOptions['tls']> {
  const { authorities, identity } = secrets;
  const options: TlsOptions = {
    // Bun refuses an address where a name belongs; the library would offer an empty one.
    servername: uri.certificateNames.find((name) => isIP(name) === 0),
    host: uri.host,
    checkServerIdentity: (_host, certificate) => anyOf(uri.certificateNames, certificate),
    ...(authorities === null ? {} : { ca: [...authorities] }),
    ...identity,
  };
  // `ca` may be a list for Node, which is who reads it.
  return options as unknown as NonNullable<ConnectionOptions['tls']>;
}

/** Undefined when the certificate bears one of the names, else what is wrong for the first. */
function anyOf(names: readonly string[], certificate: PeerCertificate): Error | undefined {
  const errors = names.map((name) => checkServerIdentity(name, certificate));
  return errors.includes(undefined) ? undefined : errors[0];
}

/**
 * A cluster member that the server told us about, reached with the same credentials. Members tell
 * bare addresses of each other, so their certificates may bear the name that the user wrote instead.
 */
export function peerOf(address: string, like: PlaneUri): readonly PlaneUri[] {
  try {
    return parsePlaneUris(address).map(({ host, port, shown }) => ({
      ...like,
      host,
      port,
      shown: shown.replace(/^nats:/, like.tls ? 'tls:' : 'nats:'),
      certificateNames: [...new Set([host, ...like.certificateNames])],
    }));
  } catch {
    return []; // an address in a form we cannot use is no reason to fail
  }
}
