// What the tests of /v1/responses share: reading its events, which are named and end without a mark.

export type Event = {
  readonly type: string;
  readonly sequence_number: number;
} & Readonly<Record<string, ReturnType<typeof JSON.parse>>>;

/** Each event must say its name twice, and its number must be the next one. */
export async function namedEvents(response: Response): Promise<Event[]> {
  const blocks = (await response.text()).split('\n\n');
  if (blocks.pop() !== '') throw new Error('the last event is not terminated');
  return blocks.map((block, index) => {
    const [, name, json = ''] = /^event: ([a-z_.]+)\ndata: (.*)$/.exec(block) ?? [];
    if (name === undefined) throw new Error(`no named event: ${block}`);
    const event: Event = JSON.parse(json);
    if (event.type !== name) throw new Error(`${name} calls itself ${event.type}`);
    if (event.sequence_number !== index) throw new Error(`${block}: wanted number ${index}`);
    return event;
  });
}
