// The chat templates of a tokenizer_config.json, as text: to compile them, or to see from them how
// the model writes.

/** One template as a string, or several as `[{name, template}]`. */
export function templateSources(tokenizerConfig: unknown): ReadonlyMap<string, string> {
  const value = fieldsOf(tokenizerConfig).get('chat_template');
  const sources = new Map<string, string>();
  if (typeof value === 'string') sources.set('default', value);
  for (const entry of Array.isArray(value) ? value : []) {
    const fields = fieldsOf(entry);
    const name = fields.get('name');
    const template = fields.get('template');
    if (typeof name === 'string' && typeof template === 'string') sources.set(name, template);
  }
  return sources;
}

/** An object by its members; anything else has none. */
export function fieldsOf(value: unknown): Map<string, unknown> {
  return new Map(typeof value === 'object' && value !== null ? Object.entries(value) : []);
}
