// ./tdist in the foreground, as if it had been started by hand.
//
// On Ctrl-C a terminal signals the whole process group, and npm then passes the same signal on once
// more. tdist takes a second signal for impatience, so it gets a session of its own and hears from
// this process alone: once per key press. (package.json says `exec node`, or the shell between npm
// and us would take the signal and die of it.)

import { spawn } from 'node:child_process';
import { constants } from 'node:os';

/** Two signals closer together than this are one. */
const echoMs = 400;
const parentCheckMs = 1000;

/** The exit code: the command's own, or 128 + the number of the signal that ended it. */
export function serve(command, args) {
  return new Promise((resolve) => {
    const child = spawn(command, args, { stdio: 'inherit', detached: true });
    let lastMs = Number.NEGATIVE_INFINITY;
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
      process.on(signal, () => {
        if (performance.now() - lastMs < echoMs) return;
        lastMs = performance.now();
        child.kill(signal === 'SIGHUP' ? 'SIGTERM' : signal);
      });
    }
    if (process.env.npm_lifecycle_event !== undefined) stopWithParent(child);
    child.on('error', (error) => {
      console.error(`setup: cannot start ${command}: ${error.message}`);
      resolve(1);
    });
    child.on('exit', (code, signal) => resolve(code ?? 128 + constants.signals[signal]));
  });
}

/** npm killed outright (kill -9) passes nothing on: without it there is nobody left to serve for. */
function stopWithParent(child) {
  const parent = process.ppid;
  const timer = setInterval(() => {
    if (process.ppid === parent) return;
    clearInterval(timer);
    child.kill('SIGTERM');
  }, parentCheckMs);
  timer.unref();
}
