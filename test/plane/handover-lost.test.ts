// A hand-over message that is lost on its way, in whatever way: the generate worker has heard nothing,
// so it is told again, without the ticket.

import { expect, test } from 'bun:test';
import { Fault, type FaultCode } from '../../src/std/fault.ts';
import { Cluster, read } from './cluster.ts';
import { ticket } from './fake-engine.ts';
import { settle } from './make.ts';

for (const code of ['transfer', 'timeout', 'plane'] satisfies FaultCode[]) {
  test(`lost with ${code}: sent again without its ticket`, async () => {
    const cluster = new Cluster();
    const c = await cluster.worker('c', 'context');
    const g = await cluster.worker('g', 'generate');
    const asked = cluster.ask();
    await settle();
    let lostCount = 0;
    const request = c.bus.request.bind(c.bus);
    c.bus.request = (subject, payload, options) => {
      const isFirst = subject.endsWith('.handover') && lostCount === 0;
      if (!isFirst) return request(subject, payload, options);
      lostCount++;
      return Promise.reject(new Fault(code, 'its bytes are gone'));
    };
    const requestId = 'req-1';
    c.engine.tokens(requestId, 0, [7]);
    c.engine.emit({ type: 'prefilled', requestId, firstToken: 7, ticket });
    await settle();
    const imports = g.engine.commands.filter(({ type }) => type === 'import');
    expect(imports).toMatchObject([{ requestId, firstToken: 7, ticket: null }]);
    g.engine.tokens(requestId, 1, [8], true);
    expect(await read(await asked)).toBe('7 8 stop');
    expect(lostCount).toBe(1);
  });
}
