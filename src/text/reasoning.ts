// `<think>…</think>` at the beginning of an answer → what the model thought and what it says, from
// pieces of any size. Newlines inside the two marks and behind the second are dropped, as chat
// templates do when they show the answer to the model again. A model whose template opens the mark
// itself begins thinking; an answer that does not begin with the mark is all text.

const opening = '<think>';
const closing = '</think>';
export const reasoningMarkers = [opening, closing];

/** Blank space before the mark; what has more of it does not begin with a mark. */
const blankCharsMax = 64;

export type Thought = { readonly reasoning: string; readonly text: string };

/** Whether a prompt ends inside the mark: the answer goes on there. */
export function opensThinking(prompt: string): boolean {
  return prompt.trimEnd().endsWith(opening);
}

export class ReasoningParser {
  #state: 'begin' | 'thinking' | 'between' | 'text';
  /** Held at the beginning: blank space. While thinking: newlines. */
  #blank = '';
  /** So many characters of the mark that is looked for have come. */
  #matched = 0;
  #hasThought = false;
  #reasoning = '';
  #text = '';

  constructor(options: { readonly isOpen: boolean }) {
    this.#state = options.isOpen ? 'thinking' : 'begin';
  }

  /** Between the marks. */
  get isThinking(): boolean {
    return this.#state === 'thinking';
  }

  push(piece: string): Thought {
    for (let at = 0; at < piece.length; at++) {
      if (this.#state === 'text') {
        this.#text += piece.slice(at);
        break;
      }
      this.#take(piece.charAt(at));
    }
    return this.#drain();
  }

  /** The end of the answer: what could have become a mark is none. */
  flush(): Thought {
    if (this.#state === 'begin') this.#giveUp();
    else if (this.#state === 'thinking') this.#release();
    return this.#drain();
  }

  #take(char: string): void {
    switch (this.#state) {
      case 'begin':
        return this.#takeFirst(char);
      case 'thinking':
        return this.#takeThought(char);
      default:
        if (char === '\n') return;
        this.#state = 'text';
        this.#text += char;
    }
  }

  #takeFirst(char: string): void {
    if (char === opening[this.#matched]) {
      this.#matched++;
      if (this.#matched < opening.length) return;
      this.#state = 'thinking';
      this.#matched = 0;
      this.#blank = '';
    } else if (this.#matched === 0 && char.trim() === '' && this.#blank.length < blankCharsMax) {
      this.#blank += char;
    } else {
      this.#giveUp();
      this.#text += char;
    }
  }

  #takeThought(char: string): void {
    if (char === closing[this.#matched]) {
      this.#matched++;
      if (this.#matched < closing.length) return;
      this.#state = 'between';
      this.#matched = 0;
      this.#blank = '';
      return;
    }
    if (this.#matched > 0) this.#release();
    if (char === '\n') {
      if (this.#hasThought) this.#blank += char;
    } else if (char === closing[0]) {
      this.#matched = 1;
    } else {
      this.#release();
      this.#think(char);
    }
  }

  #giveUp(): void {
    this.#text += this.#blank + opening.slice(0, this.#matched);
    this.#state = 'text';
  }

  #release(): void {
    this.#think(this.#blank + closing.slice(0, this.#matched));
    this.#blank = '';
    this.#matched = 0;
  }

  #think(text: string): void {
    if (text !== '') this.#hasThought = true;
    this.#reasoning += text;
  }

  #drain(): Thought {
    const thought = { reasoning: this.#reasoning, text: this.#text };
    this.#reasoning = '';
    this.#text = '';
    return thought;
  }
}
