// Text that makes a prompt exactly so many tokens long, for a tokenizer that is only known by the
// counts the server gives.

const words =
  'river stone seven paper green window market engine winter bread silver garden number letter music harbor'.split(
    ' ',
  );

/** Different from its first word on for every salt; any prefix of it will do. */
export function fillerText(length: number, salt: number): string {
  let text = '';
  for (let i = 0; text.length < length; i++) {
    text += `${words[(i * 5 + salt * 7 + ((i * salt) % 11)) % words.length]} ${(i * 13 + salt) % 100} `;
  }
  return text.slice(0, length);
}

/** Counts that `count` is asked for at most; a tokenizer that skips the size gets the nearest. */
const tryCountMax = 14;

/**
 * The filler with which `count` gives `size`, or comes nearest to it without being more.
 * @param count tokens of the whole prompt with this filler.
 */
export async function fillTo(
  size: number,
  salt: number,
  count: (filler: string) => Promise<number>,
): Promise<string> {
  // [low, high): lengths with too few tokens, and with too many.
  let low = { length: 0, tokens: await count('') };
  let high = { length: size * 16, tokens: Number.POSITIVE_INFINITY };
  let perToken = 3.5;
  for (let i = 0; i < tryCountMax && low.tokens < size && high.length - low.length > 1; i++) {
    const guess = low.length + Math.round((size - low.tokens) * perToken);
    const middle = (low.length + high.length) >> 1;
    const length = guess >= high.length ? middle : Math.max(low.length + 1, guess);
    const tokens = await count(fillerText(length, salt));
    if (tokens > low.tokens)
      perToken = Math.max(0.5, (length - low.length) / (tokens - low.tokens));
    if (tokens > size) high = { length, tokens };
    else low = { length, tokens };
  }
  return fillerText(low.length, salt);
}
