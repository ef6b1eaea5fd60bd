// What logprobs call a token: its text, or where that was asked for its id.

import type { Alternative } from './token-trail.ts';

export function nameOf(token: Pick<Alternative, 'id' | 'token'>, byId: boolean): string {
  return byId ? `token_id:${token.id}` : token.token;
}
