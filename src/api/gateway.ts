// What every handler needs: the ports, and the few things the gateway remembers. Built once by
// server.ts. No handler reaches for a clock, for chance or for the cluster in any other way.

import type { GrammarCheck } from '../grammar/guide.ts';
import type { Cluster } from '../protocol/request.ts';
import type { Clock } from '../std/clock.ts';
import type { Chance } from '../std/prng.ts';
import type { Log } from '../telemetry/log.ts';
import type { Meter } from '../telemetry/metric.ts';
import type { TextModelCache } from '../text/text-model.ts';
import type { Access } from './access.ts';
import type { Arriving } from './arriving.ts';
import type { BodyBounds } from './body.ts';
import type { Gate } from './gate.ts';
import type { AdmissionQueue } from './queue.ts';
import type { ResponseStore } from './response-store.ts';

export type Gateway = {
  readonly cluster: Cluster;
  readonly clock: Clock;
  readonly chance: Chance;
  readonly log: Log;
  readonly meter: Meter;
  readonly access: Access;
  readonly bodyBounds: BodyBounds;
  readonly arriving: Arriving;
  readonly gate: Gate;
  readonly queue: AdmissionQueue;
  readonly texts: TextModelCache;
  readonly responses: ResponseStore;
  readonly grammars: GrammarCheck;
  /** The only model to serve; null: all that workers announce. */
  readonly onlyModel: string | null;
  readonly version: string;
};
