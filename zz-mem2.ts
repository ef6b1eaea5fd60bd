import { openStage } from './src/bench/gateway/stage.ts';
import { measureStreams, measureRequests } from './src/bench/gateway/measure.ts';
const stage = await openStage();
const mib = (b: number) => (b / 2 ** 20).toFixed(1);
try {
  console.log('start', mib(stage.residentBytes()));
  await measureRequests(stage, { connections: 16, durationMs: 1500 });
  console.log('after requests', mib(stage.residentBytes()));
  await measureStreams(stage, { streams: 64, tokens: 500, paceMs: 0 });
  console.log('after flood', mib(stage.residentBytes()));
  for (let i = 0; i < 2; i++) {
    const samples: string[] = [];
    const timer = setInterval(() => samples.push(mib(stage.residentBytes())), 1000);
    const { residentBytes, cpuUs } = await measureStreams(stage, { streams: 500, tokens: 100, paceMs: 60 });
    clearInterval(timer);
    console.log(i, residentBytes.map(mib).join(' -> '), samples.join(' '), cpuUs.toFixed(1));
  }
} finally { await stage[Symbol.asyncDispose](); }
process.exit(0);
