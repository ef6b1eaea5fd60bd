// The request plane as a port: publish, subscribe, ask, serve. Bodies: plane/nats.ts (real) and
// plane/memory.ts (one process, for tests and the simulation). One contract suite holds for both.

export type BusHandler = (payload: Uint8Array, subject: string) => void;

export type Endpoint = {
  /** Last part of the subject and name of the micro endpoint. */
  readonly name: string;
  readonly subject: string;
  /** The reply; a throw becomes an error reply, and the asker sees a Fault. */
  readonly handle: (payload: Uint8Array) => Promise<Uint8Array>;
};

export type Service = {
  /** Shown by `nats micro ls`: letters, digits, `-` and `_`. */
  readonly name: string;
  /** Semantic version. */
  readonly version: string;
  readonly description: string;
  readonly metadata: Readonly<Record<string, string>>;
  readonly endpoints: readonly Endpoint[];
};

/** Something that can be ended; ending twice is harmless. */
export type Ending = { stop(): Promise<void> };

export type Bus = {
  /** Largest payload one message may carry; larger ones are refused with a Fault, never dropped. */
  readonly maxPayloadBytes: number;
  /** Null while connected, else why not, in one line fit for a user. */
  trouble(): string | null;
  /** Calls back at every change of `trouble()`. */
  onTrouble(handler: (trouble: string | null) => void): void;
  /** Order is kept between one publisher and one subscriber. Throws a Fault `plane` while unconnected. */
  publish(subject: string, payload: Uint8Array): void;
  subscribe(subject: string, handler: BusHandler): Ending;
  /** Faults: `no_worker` when nobody serves the subject, `timeout`, `cancelled`, `plane`, `too_large`. */
  request(
    subject: string,
    payload: Uint8Array,
    options: { readonly timeoutMs: number; readonly signal?: AbortSignal },
  ): Promise<Uint8Array>;
  /** Answers requests, and announces itself as a micro service. */
  serve(service: Service): Ending;
  /** Resolves when everything published so far has reached the server. */
  flush(): Promise<void>;
  /** Ends subscriptions, lets what was published leave, closes the connection. */
  close(): Promise<void>;
};
