// What a model's text turns out to be once its tool calls are found in it. A parser takes the text in
// pieces of any size and says the same whatever the pieces. What is no well-formed call of a known
// tool is text, to the letter; only blank space around calls is dropped.

export type ToolEvent =
  | { readonly kind: 'text'; readonly text: string }
  /** A call begins; its arguments follow, then its end, with nothing else in between. */
  | { readonly kind: 'call'; readonly name: string }
  /** More of the arguments: JSON of an object, as the model wrote it. */
  | { readonly kind: 'arguments'; readonly text: string }
  | { readonly kind: 'end' };

export type ToolParser = {
  push(piece: string): ToolEvent[];
  /** The end of the text: what waited for more. Once only. */
  flush(): ToolEvent[];
};
