// A folder whose weights are in an ONNX graph, served by the executable: context and generate workers hand
// KV over, and the answers are those of the same weights in our own graph.

import { expect, test } from 'bun:test';
import { mkdirSync, writeFileSync } from 'node:fs';
import { writeDemoExport } from '../model/foreign/demo.ts';
import type { Kind } from '../model/foreign/export-ops.ts';
import { ask, question } from './chat.ts';
import { type Deployment, startAll } from './deployment.ts';
import { openWorld, testNothingLeft } from './world.ts';

const world = openWorld();
const questions = ['France', 'Japan', 'Peru', 'Kenya'].map((country) =>
  question(`What is the capital of ${country}, and which money is used there?`),
);

async function answers({ url }: Deployment): Promise<unknown[]> {
  const timed = { headers: { 'x-tdist-timing': '1' } };
  return await Promise.all(
    questions.map(async (one) => {
      const { response, body } = await ask(url, one, timed);
      return { body: body.choices[0], route: response.headers.get('x-tdist-route') };
    }),
  );
}

test.each<Kind['attention']>(['fused', 'eager'])('%s attention: the same answers', async (kind) => {
  const folder = world.path(`onnx-${kind}`);
  mkdirSync(folder);
  writeDemoExport(folder, kind);
  await using own = await startAll(world);
  await using theirs = await startAll(world, [`--model-name=${folder}`]);
  const wanted = await answers(own);
  expect(wanted).toMatchObject(questions.map(() => ({ route: 'disaggregated' })));
  expect(await answers(theirs)).toEqual(wanted);
});

test('a graph that cannot be served ends the worker with a line that says why', async () => {
  const folder = world.path('onnx-damaged');
  mkdirSync(folder);
  writeDemoExport(folder, 'fused');
  writeFileSync(`${folder}/onnx/model.onnx`, 'no graph');
  const { code, stderr } = await world.run([
    '--role=generate',
    '--request-plane-uri=localhost:1',
    `--model-name=${folder}`,
  ]);
  expect({ code, lines: stderr.length }).toEqual({ code: 1, lines: 1 });
  expect(stderr[0]).toMatch(/onnx\/model\.onnx is not an ONNX model that can be read/);
});

testNothingLeft(world);
