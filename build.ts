// `bun build.ts [--force]` makes ./tdist: one executable with Bun, our code, ONNX Runtime's library,
// the built-in model and, where one is found, nats-server. Skips the work when no input has changed.
//
// Each further entry point becomes a thread: /$bunfs/root/role/engine-thread.js in the executable.
// No identifier or syntax minification: Elysia reads its handlers' source text.

import { existsSync, mkdirSync, renameSync, writeFileSync } from 'node:fs';
import type { BunPlugin } from 'bun';

const executable = 'tdist';
const threads = ['engine-thread', 'vocabulary-thread', 'encoder-thread', 'weight-thread'].map(
  (name) => `src/role/${name}.ts`,
);
const hashFile = 'build/tdist.hash';
const startMs = performance.now();

/** Debian keeps servers in /usr/sbin, which a user's PATH may lack. */
function findNatsServer(): string | null {
  const candidates = [
    process.env['TDIST_NATS_SERVER'],
    'build/nats/usr/sbin/nats-server',
    Bun.which('nats-server'),
    '/usr/sbin/nats-server',
  ];
  const found = candidates.find((path) => path && existsSync(path));
  return found
    ? Bun.resolveSync(found.startsWith('/') ? found : `./${found}`, process.cwd())
    : null;
}

/** SHA-256 over names and contents of everything the executable is made of. */
async function inputHash(natsServer: string | null): Promise<string> {
  const sources = [...new Bun.Glob('src/**/*').scanSync({ dot: false })].filter(
    (path) => !path.endsWith('.py') && !path.includes('__pycache__'),
  );
  const others = ['build.ts', 'package.json', 'package-lock.json', 'tsconfig.json'];
  const paths = [...sources.sort(), ...others, ...(natsServer === null ? [] : [natsServer])];
  const hasher = new Bun.CryptoHasher('sha256');
  hasher.update(`${Bun.version} ${process.platform} ${process.arch}`);
  for (const path of paths) {
    hasher.update(`\n${path}\n`);
    hasher.update(await Bun.file(path).bytes());
  }
  return hasher.digest('hex');
}

/** Gives src/plane/embedded-nats.ts the body that carries the server. */
function embedNatsServer(path: string): BunPlugin {
  const contents = `import path from ${JSON.stringify(path)} with { type: 'file' };
export const embeddedNatsServer = path;`;
  return {
    name: 'embedded-nats',
    setup: (build) => {
      build.onLoad({ filter: /\/src\/plane\/embedded-nats\.ts$/ }, () => ({
        loader: 'ts',
        contents,
      }));
    },
  };
}

async function compile(hash: string, natsServer: string | null): Promise<void> {
  mkdirSync('build', { recursive: true });
  await Bun.build({
    entrypoints: ['src/main.ts', ...threads].filter((path) => existsSync(path)),
    root: 'src',
    minify: { whitespace: true, identifiers: false, syntax: false },
    define: { TDIST_BUILD: JSON.stringify(hash.slice(0, 10)) },
    plugins: natsServer === null ? [] : [embedNatsServer(natsServer)],
    // What lies in the folder where a user starts tdist must not change what it does.
    compile: { outfile: `build/${executable}`, autoloadDotenv: false, autoloadBunfig: false },
  });
  renameSync(`build/${executable}`, executable); // in one step: a running tdist keeps its file
  writeFileSync(hashFile, hash);
}

process.chdir(import.meta.dir);
const natsServer = findNatsServer();
const hash = await inputHash(natsServer);
const built = existsSync(hashFile) ? await Bun.file(hashFile).text() : '';
if (built === hash && existsSync(executable) && !process.argv.includes('--force')) {
  console.log(`./${executable} is up to date (build ${hash.slice(0, 10)})`);
} else {
  try {
    await compile(hash, natsServer);
    const sizeMiB = Math.round(Bun.file(executable).size / 2 ** 20);
    const tookS = ((performance.now() - startMs) / 1000).toFixed(1);
    const nats = natsServer === null ? 'without nats-server' : `with ${natsServer}`;
    console.log(`./${executable}: ${sizeMiB} MiB, build ${hash.slice(0, 10)}, ${nats}, ${tookS} s`);
  } catch (thrown) {
    const errors = thrown instanceof AggregateError ? thrown.errors : [thrown];
    for (const error of errors) console.error(`build: ${Bun.inspect(error)}`);
    process.exitCode = 1;
  }
}
