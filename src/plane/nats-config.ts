// The embedded nats-server's configuration file. A file and not arguments: arguments are there for
// everyone to read in the process list, and credentials may be among them.

import type { PlaneUri } from './uri.ts';

/** As large as nats-server accepts without a warning: long prompts travel as one message. */
const maxPayload = 8 * 1024 * 1024;

export function natsConfig(uri: PlaneUri, storeDir: string): string {
  const lines = [
    `host: ${quote(uri.host)}`,
    `port: ${uri.port === 0 ? -1 : uri.port}`, // -1: any free one
    `max_payload: ${maxPayload}`,
    `jetstream { store_dir: ${quote(storeDir)} }`,
  ];
  if (uri.token !== null) lines.push(`authorization { token: ${quote(uri.token)} }`);
  if (uri.user !== null) {
    lines.push(
      `authorization { user: ${quote(uri.user)}, password: ${quote(uri.password ?? '')} }`,
    );
  }
  return `${lines.join('\n')}\n`;
}

function quote(text: string): string {
  return `"${text.replace(/[\\"]/g, (char) => `\\${char}`)}"`;
}
