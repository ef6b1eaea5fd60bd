// Characters for a reader that is written as one would read: a generator that stops where it needs
// the next character and goes on when that comes, in this piece of text or in a later one. So it
// cannot know how the text was cut, and each character is looked at once.
//
//   looked at ──take──▶ held ──release──▶ text           no call after all
//        │               ├────forget                     a call's frame: of no use to anyone
//        └─────pass──▶ text                              while streaming, `take` is arguments at once
//
// A call is held until it is whole, so that a malformed one can still become text. What is longer than
// `heldCharsMax` cannot be held: if its name is known and these are its arguments, it is announced and
// the rest of them streams; otherwise the text seems to end there, and becomes text.

import { limit } from '../../protocol/limit.ts';
import type { ToolEvent, ToolParser } from './event.ts';

const frameCharsMax = 256;

/** A reader's way through the text; resumed with a character, or null at the text's end. */
export type Steps<T> = Generator<undefined, T, string | null>;

export class Feed {
  readonly #heldCharsMax: number;
  #events: ToolEvent[] = [];
  #next: string | null | undefined;
  #held = '';
  /** A call that may be announced before it is whole, and where its arguments begin in `#held`. */
  #streamable: { readonly name: string; readonly begin: number } | null = null;
  #isStreaming = false;
  /** Blank space that is text only if text follows. */
  #blank = '';
  /** Nothing but blank space since the beginning or the last call. */
  #isBlank = true;
  #hasCalls = false;

  constructor(heldCharsMax: number = limit.toolCallHeldCharsMax) {
    this.#heldCharsMax = heldCharsMax;
  }

  /** The next character, still to be taken or passed; null: there is none, or no room for it. */
  *peek(): Steps<string | null> {
    if (this.#isFull && !this.#stream()) return null;
    if (this.#next === undefined) this.#next = yield;
    return this.#next;
  }

  take(): void {
    const char = this.#consume();
    if (this.#isStreaming) this.#push({ kind: 'arguments', text: char });
    else this.#held += char;
  }

  pass(): void {
    this.#text(this.#consume());
  }

  /** Where the next character will be in what is held. */
  get position(): number {
    return this.#held.length;
  }

  since(position: number): string {
    return this.#held.slice(position);
  }

  release(): void {
    this.#text(this.#held);
    this.#held = '';
  }

  forget(): void {
    this.#held = '';
  }

  /** From here on arguments of `name` are read: held, or streamed where they are too long. */
  beginArguments(name: string): void {
    this.#streamable = { name, begin: this.position };
  }

  /** True if they were streamed: the call has been announced, and ends. */
  endArguments(): boolean {
    const wasStreaming = this.#isStreaming;
    this.#streamable = null;
    this.#isStreaming = false;
    if (wasStreaming) this.#push({ kind: 'end' });
    return wasStreaming;
  }

  /** Some call was told. */
  get hasCalls(): boolean {
    return this.#hasCalls;
  }

  /** A whole call; what is held was its frame. */
  call(name: string, json: string): void {
    this.#announce(name);
    this.#push({ kind: 'arguments', text: json });
    this.#push({ kind: 'end' });
  }

  drain(): ToolEvent[] {
    const events = this.#events;
    this.#events = [];
    return events;
  }

  /** Blank space at the very end is text only where there were no calls. */
  end(): void {
    if (!this.#hasCalls && this.#blank !== '') this.#push({ kind: 'text', text: this.#blank });
    this.#blank = '';
  }

  /** What surrounds arguments gets some room more: those that just fitted must not be lost by it. */
  get #isFull(): boolean {
    const frameChars = this.#streamable === null ? frameCharsMax : 0;
    return this.#held.length >= this.#heldCharsMax + frameChars;
  }

  #consume(): string {
    const char = this.#next;
    if (typeof char !== 'string') throw new Error('a character is taken that was not looked at');
    this.#next = undefined;
    return char;
  }

  #stream(): boolean {
    if (this.#isStreaming) return true;
    if (this.#streamable === null) return false;
    const { name, begin } = this.#streamable;
    const json = this.since(begin);
    this.#announce(name);
    if (json !== '') this.#push({ kind: 'arguments', text: json });
    this.#isStreaming = true;
    return true;
  }

  #announce(name: string): void {
    this.#blank = '';
    this.#isBlank = true;
    this.#hasCalls = true;
    this.forget();
    this.#push({ kind: 'call', name });
  }

  #text(text: string): void {
    if (text === '') return;
    if (this.#isBlank && text.trim() === '' && this.#blank.length < this.#heldCharsMax) {
      this.#blank += text;
      return;
    }
    this.#push({ kind: 'text', text: this.#blank + text });
    this.#blank = '';
    this.#isBlank = false;
  }

  /** Neighbours of one kind become one event. */
  #push(event: ToolEvent): void {
    const last = this.#events.at(-1);
    if (last?.kind === 'text' && event.kind === 'text') {
      this.#events[this.#events.length - 1] = { kind: 'text', text: last.text + event.text };
    } else if (last?.kind === 'arguments' && event.kind === 'arguments') {
      this.#events[this.#events.length - 1] = { kind: 'arguments', text: last.text + event.text };
    } else this.#events.push(event);
  }
}

/** A parser that reads as `read` does; `read` returns at the end of the text, not before. */
export function parserOf(read: (feed: Feed) => Steps<void>, heldCharsMax?: number): ToolParser {
  const feed = new Feed(heldCharsMax);
  const reader = read(feed);
  reader.next(null); // runs to where it first needs a character; the value goes nowhere
  return {
    push: (piece) => {
      for (let at = 0; at < piece.length; at++) reader.next(piece.charAt(at));
      return feed.drain();
    },
    flush: () => {
      reader.next(null);
      feed.end();
      return feed.drain();
    },
  };
}

/** Text up to `marker`, which is then held. False: the text ended without one. */
export function* readText(feed: Feed, marker: string): Steps<boolean> {
  for (;;) {
    const char = yield* feed.peek();
    if (char === null) return false;
    if (char !== marker[0]) feed.pass();
    else if (yield* readMarker(feed, marker)) return true;
    else feed.release();
  }
}

/** All that follows is text. */
export function* readRest(feed: Feed): Steps<void> {
  while ((yield* feed.peek()) !== null) feed.pass();
}

/**
 * Whether `marker` follows; it, or its beginning, is held. No marker begins again within itself, so
 * that after a false start nothing has to be looked at twice.
 */
export function* readMarker(feed: Feed, marker: string): Steps<boolean> {
  for (const char of marker) {
    if ((yield* feed.peek()) !== char) return false;
    feed.take();
  }
  return true;
}
