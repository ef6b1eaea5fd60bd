// What goes wrong in one run, and when.

import type { ObjectHarm } from './store.ts';

export type PlannedFault = { readonly atMs: number } & (
  | {
      readonly kind: 'delay';
      readonly place: string;
      readonly forMs: number;
      readonly maxMs: number;
    }
  | { readonly kind: 'reset'; readonly place: string }
  | { readonly kind: 'partition'; readonly place: string; readonly forMs: number }
  | { readonly kind: 'nats_restart'; readonly forMs: number }
  | { readonly kind: 'worker_crash'; readonly place: string; readonly backMs: number }
  /** At the n-th message of this kind from `atMs` on, whoever gets it dies. */
  | {
      readonly kind: 'crash_at';
      readonly op: 'generate' | 'prefill' | 'handover' | 'announce' | 'tokens';
      readonly nth: number;
      readonly whose: 'sender' | 'receiver';
      readonly delayMs: number;
      readonly backMs: number;
    }
  | { readonly kind: 'gateway_crash'; readonly place: string; readonly backMs: number }
  | { readonly kind: 'freeze'; readonly place: string; readonly forMs: number }
  | {
      readonly kind: 'slow';
      readonly place: string;
      readonly factor: number;
      readonly forMs: number;
    }
  | {
      readonly kind: 'object';
      readonly harm: ObjectHarm;
      readonly share: number;
      readonly forMs: number;
    }
  | { readonly kind: 'arena_corrupt'; readonly place: string; readonly forMs: number }
  | { readonly kind: 'runner_fail'; readonly place: string }
  /** The thread of grammars dies, or takes too long. */
  | { readonly kind: 'grammar_crash'; readonly place: string }
  | { readonly kind: 'grammar_slow'; readonly place: string; readonly forMs: number }
  | { readonly kind: 'wall_clock'; readonly place: string; readonly shiftS: number }
  | { readonly kind: 'drain'; readonly place: string; readonly forMs: number }
  | {
      readonly kind: 'leave';
      readonly place: string;
      readonly backMs: number;
      readonly limitMs: number;
    }
);

export type FaultKind =
  | PlannedFault['kind']
  /** Clients: more than there is room for; gone before the end; slow to read. */
  | 'load'
  | 'disconnect'
  /** Beyond what NATS does. */
  | 'twice'
  | 'late'
  | ObjectHarm;
