// `npm test`: every check in turn, a failing one does not stop the next. The last line is the sum,
// `N passed, N failed`; linter, type checker, build and a crashed stage count as one each.
// `npm test -- unit e2e` runs only the named stages (e2e builds first: it drives ./tdist).

import { spawn } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { Problem, root } from './step.mjs';

const stageLimitMs = 20 * 60_000;
const graceMs = 5000;
/** Test folders that are stages of their own; every other one belongs to `unit`. */
const apart = ['contract', 'golden', 'twin', 'fuzz', 'sim', 'e2e'];
const ignored = ['bench'];

/** The exit code. */
export async function runStages(bun, names) {
  const all = stages(bun);
  const unknown = names.find((name) => !all.some((stage) => stage.name === name));
  if (unknown !== undefined) {
    throw new Problem(
      `no stage ${unknown}; there are ${all.map((stage) => stage.name).join(', ')}`,
    );
  }
  let passed = 0;
  let failed = 0;
  const wanted = names.includes('e2e') ? ['build', ...names] : names;
  for (const stage of all) {
    if (wanted.length > 0 && !wanted.includes(stage.name)) continue;
    const result = await runStage(stage);
    passed += result.passed;
    failed += result.failed;
  }
  console.log(`${passed} passed, ${failed} failed`);
  return failed === 0 ? 0 : 1;
}

function stages(bun) {
  const files = readdirSync(join(root, 'test'), { recursive: true })
    .map((path) => `./test/${path}`)
    .filter((path) => path.endsWith('.test.ts'))
    .sort();
  const folderOf = (path) => path.split('/')[2] ?? '';
  const own = [...apart, ...ignored, 'architecture.test.ts'];
  const suite = (name, isIn) => ({
    name,
    command: bun,
    args: ['test', '--timeout=30000', ...files.filter((path) => isIn(folderOf(path)))],
    counts: bunCounts,
    empty: !files.some((path) => isIn(folderOf(path))),
  });
  const tool = (name, command, ...args) => ({ name, command, args, counts: toolCounts });
  const bin = (name) => join(root, 'node_modules/.bin', name);
  return [
    tool('biome', bin('biome'), 'check'),
    tool('tsc', bin('tsc')),
    tool('build', bun, 'build.ts'),
    suite('architecture', (folder) => folder === 'architecture.test.ts'),
    suite('unit', (folder) => !own.includes(folder)),
    ...apart.map((name) => suite(name, (folder) => folder === name)),
  ].filter((stage) => !stage.empty);
}

async function runStage(stage) {
  const startMs = Date.now();
  console.log(`\n== ${stage.name}`);
  const { code, output, late } = await execute(stage.command, stage.args);
  const counts = stage.counts(output, code);
  // A crash after the summary must not pass for a success.
  if (code !== 0 && counts.failed === 0) counts.failed = 1;
  const why = late ? `, stopped after ${stageLimitMs / 60_000} min` : '';
  const tookS = ((Date.now() - startMs) / 1000).toFixed(1);
  console.log(
    `== ${stage.name}: ${counts.passed} passed, ${counts.failed} failed${why}, ${tookS} s`,
  );
  return counts;
}

function toolCounts(_output, code) {
  return code === 0 ? { passed: 1, failed: 0 } : { passed: 0, failed: 1 };
}

/** The last summary that `bun test` printed; without one it died, whatever its exit code says. */
function bunCounts(output) {
  const last = (word) => [...output.matchAll(new RegExp(`^ *(\\d+) ${word}$`, 'gm'))].at(-1)?.[1];
  const passed = last('pass');
  const failed = last('fail');
  if (passed === undefined) return { passed: 0, failed: 1 };
  return { passed: Number(passed), failed: Number(failed ?? 0) };
}

/** Runs in a process group of its own, so that whatever a stage leaves behind ends with it. */
function execute(command, args) {
  return new Promise((resolve) => {
    const child = spawn(command, args, {
      cwd: root,
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let output = '';
    let late = false;
    const show = (data) => {
      process.stdout.write(data);
      output = (output + data).slice(-65_536);
    };
    child.stdout.setEncoding('utf8').on('data', show);
    child.stderr.setEncoding('utf8').on('data', show);
    const limit = setTimeout(() => {
      late = true;
      signalGroup(child, 'SIGTERM');
      setTimeout(() => signalGroup(child, 'SIGKILL'), graceMs).unref();
    }, stageLimitMs);
    const interrupt = (signal) => {
      signalGroup(child, 'SIGKILL');
      process.exit(signal === 'SIGINT' ? 130 : 143);
    };
    process.once('SIGINT', interrupt).once('SIGTERM', interrupt);
    const end = (code) => {
      clearTimeout(limit);
      signalGroup(child, 'SIGKILL');
      process.off('SIGINT', interrupt).off('SIGTERM', interrupt);
      resolve({ code, output, late });
    };
    child.on('error', (error) => {
      console.log(`cannot run ${command}: ${error.message}`);
      end(1);
    });
    // Not `close`: an orphan that holds the pipes open would keep the stage from ending.
    child.on('exit', (code) => setTimeout(() => end(code ?? 1), 100));
  });
}

function signalGroup(child, signal) {
  try {
    if (child.pid !== undefined) process.kill(-child.pid, signal);
  } catch (error) {
    if (error.code !== 'ESRCH') throw error; // nobody left: fine
  }
}
