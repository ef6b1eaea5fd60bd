import { expect, test } from 'bun:test';
import { jsonOf, openWorld } from './world.ts';

test.each(['aggregated', 'disaggregated', 'local'] as const)(
  '%s reaches the cluster',
  async (route) => {
    await using world = openWorld();
    const response = await world.chat({}, { headers: { 'x-tdist-force-route': route } });
    expect(response.status).toBe(200);
    expect(world.cluster.requests[0]?.route).toBe(route);
  },
);

test('without the header the router decides', async () => {
  await using world = openWorld();
  await world.chat();
  expect(world.cluster.requests[0]).not.toHaveProperty('route');
});

test('an unknown route is refused with the known ones', async () => {
  await using world = openWorld();
  const response = await world.chat({}, { headers: { 'x-tdist-force-route': 'sideways' } });
  expect(response.status).toBe(400);
  const { error } = await jsonOf(response);
  expect(error.param).toBe('x-tdist-force-route');
  expect(error.message).toContain('"sideways": wanted one of disaggregated, local, aggregated');
  expect(world.server.inFlight()).toBe(0);
});

test('a route that will not be there: 503 at once, also while nobody is ready', async () => {
  await using world = openWorld();
  world.cluster.served = [];
  world.cluster.reason = 'no generate or baseline worker is ready';
  world.cluster.lacks = 'generate worker g is draining';
  const response = await world.chat({}, { headers: { 'x-tdist-force-route': 'local' } });
  expect(response.status).toBe(503);
  const { error } = await jsonOf(response);
  expect(error).toMatchObject({ code: 'no_worker', message: 'generate worker g is draining' });
  expect(world.cluster.requests).toEqual([]);
});
