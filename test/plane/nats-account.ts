// Operator, account and users for a nats-server that asks for JWTs, as `nsc` would make them
// (https://docs.nats.io/running-a-nats-service/configuration/securing_nats/auth_intro/jwt).

import { nkeys } from 'nats';

type Pair = ReturnType<typeof nkeys.createUser>;

const part = (value: object | Uint8Array): string =>
  Buffer.from(value instanceof Uint8Array ? value : JSON.stringify(value)).toString('base64url');

function sign(issuer: Pair, subject: Pair, name: string, nats: object): string {
  const claims = {
    jti: crypto.randomUUID(),
    iat: Math.floor(Date.now() / 1000),
    iss: issuer.getPublicKey(),
    name,
    sub: subject.getPublicKey(),
    nats: { ...nats, version: 2 },
  };
  const text = `${part({ typ: 'JWT', alg: 'ed25519-nkey' })}.${part(claims)}`;
  return `${text}.${part(issuer.sign(Buffer.from(text)))}`;
}

export type Realm = {
  /** Goes into nats-server's configuration. */
  readonly config: string;
  /** The text of a credentials file for a new user. */
  user(name: string): string;
};

export function realm(): Realm {
  const [operator, account] = [nkeys.createOperator(), nkeys.createAccount()];
  const none = { subs: -1, data: -1, payload: -1, imports: -1, exports: -1, conn: -1, leaf: -1 };
  const limits = { ...none, wildcards: true };
  const operatorJwt = sign(operator, operator, 'O', { type: 'operator' });
  const accountJwt = sign(operator, account, 'A', { type: 'account', limits });
  const lines = [
    `operator: ${operatorJwt}`,
    'resolver: MEMORY',
    `resolver_preload { ${account.getPublicKey()}: ${accountJwt} }`,
  ];
  return {
    config: lines.join('\n'),
    user(name) {
      const user = nkeys.createUser();
      const jwt = sign(account, user, name, { type: 'user', subs: -1, data: -1, payload: -1 });
      const seed = new TextDecoder().decode(user.getSeed());
      const block = (what: string, text: string, head = 'BEGIN', foot = 'END') =>
        `-----${head} ${what}-----\n${text}\n------${foot} ${what}------\n`;
      return `${block('NATS USER JWT', jwt)}\n${block('USER NKEY SEED', seed)}`;
    },
  };
}

/** A user's seed and public key, for `authorization { users: [{ nkey: … }] }`. */
export function nkeyUser(): { readonly seed: string; readonly publicKey: string } {
  const user = nkeys.createUser();
  return { seed: new TextDecoder().decode(user.getSeed()), publicKey: user.getPublicKey() };
}
