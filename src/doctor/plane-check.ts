// Findings about the request plane, from what plane-probe.ts was told. Pure.

import { type Finding, fail, failOf, ok, sizeText, warn } from './finding.ts';

export type JetStreamFacts =
  | { readonly state: 'off'; readonly why: string }
  | {
      readonly state: 'on';
      /** Bytes that this account may still take; null: no limit of its own. */
      readonly memoryLeft: number | null;
      readonly storageLeft: number | null;
      /** Why a stream could not be made (and removed again); null: it could. */
      readonly denied: string | null;
    };

export type PlaneFacts = {
  /** Without credentials. */
  readonly address: string;
  /** Why there is no connection, in one line; null: there is one. */
  readonly trouble: string | null;
  /** NATS's own version, from its greeting; null: no greeting of NATS came. */
  readonly version: string | null;
};

/** Asked over a connection that stands. */
export type PlaneAnswers = {
  readonly maxPayloadBytes: number;
  /** Of our own message through the server and back; null: it never came. */
  readonly roundTripMs: number | null;
  readonly jetStream: JetStreamFacts;
  /** The server's clock less ours, and how far that may be off; null: it told no time. */
  readonly skew: { readonly ms: number; readonly uncertainMs: number; readonly how: string } | null;
};

/** What one request of the longest prompt asks of the plane; null: no model is known here. */
export type PlaneNeed = { readonly messageBytes: number; readonly kvBytes: number } | null;

/** Beyond this an object's remaining life, told by the server's clock, is misjudged. */
const skewMsMax = 1000;
const slowMs = 100;
/** A heartbeat with all its keys, and a slice of a tokenizer. */
const payloadBytesMin = 64 * 1024;

export function checkReach(facts: PlaneFacts): Finding {
  const { address, trouble, version } = facts;
  if (trouble === null) return ok('nats', `nats-server ${version ?? '?'} at ${address}`);
  const isMute = version === null && /no answer within/.test(trouble);
  const mend = isMute
    ? 'see that the address is that of a nats-server, and to firewalls between'
    : version === null
      ? 'start it (or let a worker: --initialize-request-plane), or see to address and firewall'
      : 'put user:password@ or token@ before the host or give --nats-creds-file, and use tls:// with --nats-ca-file if the server wants it';
  return failOf('nats', trouble.replace('; trying again', ''), mend);
}

/** Where this deployment starts its own server, and nobody is there yet. */
export function checkOwnServer(
  address: string,
  program: { readonly path: string } | { readonly missing: string },
): Finding {
  if ('missing' in program) {
    return fail('nats', `${address}: nobody there, and ${program.missing}`, 'then start again');
  }
  return warn(
    'nats',
    `nobody at ${address} yet: --role all and --initialize-request-plane start a nats-server there (${program.path})`,
    'nothing to do, unless one should run already',
  );
}

/** Where this deployment starts its own server, and one is there already. */
export function checkForeignServer(facts: PlaneFacts): Finding {
  return warn(
    'nats',
    `nats-server ${facts.version ?? '?'} runs at ${facts.address} already`,
    'a second deployment with a server of its own needs another port in --request-plane-uri; to join this one, start roles without --initialize-request-plane',
  );
}

export function checkRights(namespace: string, { roundTripMs }: PlaneAnswers): Finding {
  if (roundTripMs === null) {
    return fail(
      'rights',
      `a message on ${namespace}.> did not come back`,
      `let this user publish and subscribe ${namespace}.>, _INBOX.> and $SRV.>`,
    );
  }
  const text = `publish and subscribe on ${namespace}.>, round trip ${roundTripMs.toFixed(1)} ms`;
  if (roundTripMs <= slowMs) return ok('rights', text);
  return warn('rights', text, 'every request waits for several of these: move NATS nearer');
}

export function checkJetStream(facts: JetStreamFacts, need: PlaneNeed, wanted: boolean): Finding {
  const name = 'jetstream';
  const worse = wanted ? fail : warn;
  if (facts.state === 'off') {
    return worse(
      name,
      `off (${facts.why}): KV cannot cross between hosts`,
      'add jetstream {} to nats-server.conf, or start nats-server with -js',
    );
  }
  if (facts.denied !== null) {
    return worse(name, `no stream can be made: ${facts.denied}`, 'let this user use $JS.API.>');
  }
  const { memoryLeft, storageLeft } = facts;
  const left = Math.min(...[memoryLeft, storageLeft].map((n) => n ?? Number.POSITIVE_INFINITY));
  const text = `on; memory left: ${leftText(memoryLeft)}, storage left: ${leftText(storageLeft)}`;
  if (need !== null && left < need.kvBytes) {
    return worse(
      name,
      `${text}, and one longest prompt's KV takes ${sizeText(need.kvBytes)}`,
      "raise the account's max_mem and max_file (server: max_memory_store, max_file_store)",
    );
  }
  return ok(name, text);
}

function leftText(bytes: number | null): string {
  return bytes === null ? 'unlimited by the account' : sizeText(bytes);
}

/** Larger prompts travel through JetStream, where there is one. */
export function checkPayload(
  { maxPayloadBytes, jetStream }: PlaneAnswers,
  need: PlaneNeed,
): Finding {
  const name = 'max_payload';
  const text = sizeText(maxPayloadBytes);
  const mend = 'raise max_payload in nats-server.conf, for example to 8MB';
  if (maxPayloadBytes < payloadBytesMin) {
    return fail(name, `${text}: too small even for heartbeats and tokenizer files`, mend);
  }
  if (need === null || maxPayloadBytes >= need.messageBytes) return ok(name, text);
  const longest = `${text}; the longest prompt takes ${sizeText(need.messageBytes)}`;
  if (jetStream.state === 'on') return ok(name, `${longest}, and goes through JetStream`);
  return warn(name, longest, `${mend}, or turn JetStream on`);
}

export function checkSkew({ skew }: PlaneAnswers): Finding {
  const name = 'clock';
  if (skew === null) {
    const mend = 'compare `date` on both machines, or turn JetStream on';
    return warn(name, 'the server told no time', mend);
  }
  const { ms, uncertainMs, how } = skew;
  const amount = `${Math.abs(ms).toFixed(0)} ± ${uncertainMs.toFixed(0)} ms`;
  const text = `NATS's clock is ${amount} ${ms < 0 ? 'behind' : 'ahead of'} ours (${how})`;
  if (Math.abs(ms) - uncertainMs <= skewMsMax) return ok(name, text);
  return warn(name, text, 'set both clocks by NTP (timedatectl set-ntp true)');
}
