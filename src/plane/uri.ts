// The address of the request plane as users write it: `host:port`, `nats://…`, `tls://…`, with
// `user:password@` or `token@` in front of the host, several separated by commas.

import { Fault } from '../std/fault.ts';

export type PlaneUri = {
  /** Name or address to connect to or listen on; `localhost` has become 127.0.0.1. */
  readonly host: string;
  /** 0 where the writer asked for any free port (only an embedded server can do that). */
  readonly port: number;
  readonly tls: boolean;
  readonly user: string | null;
  readonly password: string | null;
  readonly token: string | null;
  /** Names that the server's certificate may bear: the host as written, and what it has become. */
  readonly certificateNames: readonly string[];
  /** Without secrets: for log lines and messages. */
  readonly shown: string;
};

const defaultPort = 4222; // NATS's own; our flag's default names 4223

/** Throws a Fault `usage` for what is no address. */
export function parsePlaneUris(text: string): readonly PlaneUri[] {
  const parts = text.split(',').map((part) => part.trim());
  return parts.map((part) => parseOne(part, text));
}

function parseOne(part: string, whole: string): PlaneUri {
  const wrong = (found: string) =>
    new Fault(
      'usage',
      `request plane address ${JSON.stringify(withoutSecret(whole))}: ${found}; write host:port, nats://host:port or tls://host:port`,
    );
  if (part === '') throw wrong('an empty address');
  let url: URL;
  try {
    url = new URL(part.includes('://') ? part : `nats://${part}`);
  } catch {
    throw wrong('cannot be read');
  }
  const scheme = url.protocol.slice(0, -1);
  if (scheme !== 'nats' && scheme !== 'tls') throw wrong(`unknown scheme ${scheme}://`);
  if (url.hostname === '') throw wrong('no host');
  if (url.pathname.includes('@')) throw wrong('a / in user or password; write it as %2F');
  if (url.pathname !== '' && url.pathname !== '/') throw wrong(`unexpected path ${url.pathname}`);
  if (url.search !== '' || url.hash !== '') throw wrong('unexpected ? or # in it');
  const name = url.hostname.replace(/^\[|\]$/g, '');
  const host = name.toLowerCase() === 'localhost' ? '127.0.0.1' : name;
  const port = url.port === '' ? defaultPort : Number(url.port);
  const user = decodePart(url.username, wrong);
  const password = decodePart(url.password, wrong);
  return {
    host,
    port,
    tls: scheme === 'tls',
    user: password === '' ? null : user,
    password: password === '' ? null : password,
    token: user !== '' && password === '' ? user : null,
    certificateNames: name === host ? [host] : [name, host],
    shown: `${scheme}://${url.hostname}:${port}`,
  };
}

function decodePart(text: string, wrong: (found: string) => Fault): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw wrong('a bad %-escape in user or password');
  }
}

/**
 * An address, or a list, as a message may show it. Generous: what stands before the last @, and after
 * a colon where a port belongs, may be part of a password with a character that was not escaped.
 */
export function withoutSecret(text: string): string {
  return text
    .replace(/^(\s*[a-z]+:\/\/)?.*@/is, '$1***@')
    .replace(/:(?!\/\/)(?!\d*(?:[,/\]]|$))[^,/]*/g, ':***');
}
