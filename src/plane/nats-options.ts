// How one address becomes the NATS library's connection options. Types of the library alone: its code is
// plane/nats.ts's.

import type { ConnectionOptions } from 'nats';
import { type PlaneUri, parsePlaneUris } from './uri.ts';

export const connectTimeoutMs = 5000;

export function connectionOptions(uri: PlaneUri, name: string): ConnectionOptions {
  return {
    servers: uri.host.includes(':') ? `[${uri.host}]:${uri.port}` : `${uri.host}:${uri.port}`,
    name,
    timeout: connectTimeoutMs,
    reconnect: false,
    resolve: false, // the library asks DNS servers alone and would miss /etc/hosts
    noAsyncTraces: true, // a stack trace per request is dear
    pingInterval: 5000,
    maxPingOut: 2,
    // The library offers no server name of its own when it does not resolve.
    ...(uri.tls ? { tls: tlsFor(uri.host) } : {}),
    ...(uri.token === null ? {} : { token: uri.token }),
    ...(uri.user === null ? {} : { user: uri.user, pass: uri.password ?? '' }),
  };
}

/** The library copies every key into Node's `tls.connect`; its type lists only some of them. */
function tlsFor(host: string): NonNullable<ConnectionOptions['tls']> {
  const options: NonNullable<ConnectionOptions['tls']> & { servername: string } = {
    servername: host,
  };
  return options;
}

/** A cluster member that the server told us about, reached with the same credentials. */
export function peerOf(address: string, like: PlaneUri): readonly PlaneUri[] {
  try {
    return parsePlaneUris(address).map(({ host, port, shown }) => ({ ...like, host, port, shown }));
  } catch {
    return []; // an address in a form we cannot use is no reason to fail
  }
}
