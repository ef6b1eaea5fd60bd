// The shape of the code, kept true: rooms point down only, no cycles, one importer per foreign
// library, ambient clocks and exits only where they belong. Each failure names file and rule.

import { describe, expect, test } from 'bun:test';
import { readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';

/** Floors of the house, top to bottom; a value import never points up. */
const floors: readonly (readonly string[])[] = [
  ['main'],
  ['cli'],
  ['bench', 'sim', 'doctor'],
  ['role'],
  ['api', 'engine', 'plane'],
  ['model', 'kv', 'demo', 'hub'],
  ['text', 'telemetry', 'grammar'],
  ['protocol'],
  ['std'],
];

/** Rooms on one floor that may still see each other. */
const neighbours = ['model → demo', 'kv → model', 'model → kv', 'hub → model', 'text → telemetry'];
/** Downward, and forbidden all the same: role/ introduces these to each other. */
const strangers = ['api → model', 'api → kv', 'plane → model', 'plane → kv', 'plane → text'];

/** Pure files of a stranger: a gateway names blocks by the same rule as the workers that keep them. */
const borrowed = ['plane → kv/prefix.ts'];

/** Who may import a library: one file by name, a room, or several. */
const libraries: readonly {
  readonly name: RegExp;
  readonly where: RegExp;
  readonly files: number;
}[] = [
  { name: /^nats$/, where: /^plane\//, files: 1 },
  { name: /^elysia$|^@elysiajs\//, where: /^api\//, files: 1 },
  { name: /^@huggingface\/tokenizers$/, where: /^text\/tokenizer\.ts$/, files: 1 },
  { name: /^@huggingface\/jinja$/, where: /^text\/jinja\.ts$/, files: 1 },
  { name: /^bun:ffi$/, where: /^(model|kv|role)\/|^std\/(native|memory)\.ts$/, files: 9 },
  { name: /^onnxruntime-node($|\/(?!bin\/))/, where: /^$/, files: 0 },
  { name: /^prom-client$/, where: /^telemetry\/prometheus\.ts$/, files: 1 },
  { name: /^@valibot\/to-json-schema$/, where: /^api\/json-schema\.ts$/, files: 1 },
  { name: /^@huggingface\/hub$/, where: /^hub\/client\.ts$/, files: 1 },
  { name: /^cli-progress$/, where: /^hub\/bars\.ts$/, files: 1 },
  { name: /^valibot$/, where: /./, files: 999 },
];

type Source = {
  /** Below src/, with forward slashes. */
  readonly path: string;
  readonly room: string;
  readonly code: string;
  /** Value imports as written. */
  readonly specifiers: readonly string[];
  /** Those within src/, as paths below src/. */
  readonly own: readonly string[];
};

const top = join(import.meta.dir, '../src');
const transpiler = new Bun.Transpiler({ loader: 'ts' });
const sources = [...new Bun.Glob('**/*.ts').scanSync(top)].sort().map(readSource);

function readSource(path: string): Source {
  const code = readFileSync(join(top, path), 'utf8');
  const specifiers = transpiler.scanImports(code).map((found) => found.path);
  const own = specifiers
    .filter((specifier) => specifier.startsWith('.') && specifier.endsWith('.ts'))
    .map((specifier) => normalize(join(dirname(path), specifier)));
  return { path, room: path.split('/')[0]?.replace(/\.ts$/, '') ?? '', code, specifiers, own };
}

const floorOf = (room: string): number => floors.findIndex((rooms) => rooms.includes(room));

/** Code without comments and texts, so that a word in prose is no offence. */
function bare(code: string): string {
  return code
    .replace(/\/\*[\s\S]*?\*\//g, '')
    .replace(/(^|\s)\/\/.*$/gm, '')
    .replace(/'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*"/g, "''");
}

function offenders(pattern: RegExp, allowed: RegExp, rule: string): string[] {
  return sources
    .filter((source) => !allowed.test(source.path) && pattern.test(bare(source.code)))
    .map((source) => `src/${source.path}: ${rule}`);
}

describe('rooms', () => {
  test('every file lies in a known room', () => {
    const homeless = sources.filter((source) => floorOf(source.room) < 0);
    expect(homeless.map((source) => `src/${source.path}: not a room of design.md §3`)).toEqual([]);
  });

  test('value imports point down only', () => {
    const wrong = sources.flatMap((source) =>
      source.own
        .map((target) => ({ target, room: target.split('/')[0] ?? '' }))
        .filter(({ room }) => room !== source.room)
        .filter(({ target }) => !borrowed.includes(`${source.room} → ${target}`))
        .filter(({ room }) => {
          const arrow = `${source.room} → ${room}`;
          if (strangers.includes(arrow)) return true;
          const [from, to] = [floorOf(source.room), floorOf(room)];
          return to < from || (to === from && !neighbours.includes(arrow));
        })
        .map(
          ({ target, room }) => `src/${source.path} imports ${target}: ${source.room} ↛ ${room}`,
        ),
    );
    expect(wrong).toEqual([]);
  });

  test('nothing but cli imports a tool', () => {
    const wrong = sources.flatMap((source) =>
      source.own
        .filter((target) => /^(bench|sim|doctor)\//.test(target))
        .filter(() => !['cli', 'bench', 'sim', 'doctor'].includes(source.room))
        .map((target) => `src/${source.path} imports ${target}: tools are for cli alone`),
    );
    expect(wrong).toEqual([]);
  });

  test('no import cycle', () => {
    const byPath = new Map(sources.map((source) => [source.path, source]));
    const done = new Set<string>();
    const cycles: string[] = [];
    const visit = (path: string, trail: readonly string[]): void => {
      if (trail.includes(path)) {
        cycles.push([...trail.slice(trail.indexOf(path)), path].join(' → '));
        return;
      }
      if (done.has(path)) return;
      for (const next of byPath.get(path)?.own ?? []) visit(next, [...trail, path]);
      done.add(path);
    };
    for (const source of sources) visit(source.path, []);
    expect(cycles).toEqual([]);
  });
});

describe('libraries', () => {
  test('each one has its importer', () => {
    const wrong = libraries.flatMap(({ name, where, files }) => {
      const importers = sources.filter((source) =>
        source.specifiers.some((from) => name.test(from)),
      );
      const outside = importers
        .filter((source) => !where.test(source.path))
        .map((source) => `src/${source.path} imports ${name.source}: allowed in ${where.source}`);
      const list = importers.map((source) => source.path).join(', ');
      const crowd = importers.length > files ? [`${name.source} is imported by ${list}`] : [];
      return outside.length > 0 ? outside : crowd;
    });
    expect(wrong).toEqual([]);
  });

  test('no other library', () => {
    const known = (from: string): boolean =>
      /^(\.|node:)/.test(from) ||
      /^(bun|bun:ffi|bun:jsc)$/.test(from) ||
      /^onnxruntime-node\/bin\//.test(from);
    const wrong = sources.flatMap((source) =>
      source.specifiers
        .filter((from) => !known(from) && !libraries.some(({ name }) => name.test(from)))
        .map((from) => `src/${source.path} imports ${from}: not in this test's list of libraries`),
    );
    expect(wrong).toEqual([]);
  });
});

describe('code', () => {
  test('no file over 400 lines', () => {
    const long = sources.filter((source) => source.code.split('\n').length > 401);
    expect(long.map((source) => `src/${source.path}: over 400 lines`)).toEqual([]);
  });

  test('every file begins by saying why it is there', () => {
    const silent = sources.filter((source) => !/^(#!.*\n)?\/[/*]/.test(source.code));
    expect(silent.map((source) => `src/${source.path}: no comment at its head`)).toEqual([]);
  });

  test('only main, role and the guard (which becomes another program) end the process', () => {
    expect(
      offenders(
        /\bprocess\.(exit|abort|reallyExit)\b\s*\(/,
        /^(main\.ts$|role\/|plane\/guard\.ts$|std\/native\.ts$)/,
        'process.exit',
      ),
    ).toEqual([]);
  });

  test('time and chance are ports', () => {
    expect(
      offenders(
        /\bDate\.now\b|\bMath\.random\b|\bset(Timeout|Interval)\b|\bBun\.sleep\b/,
        /^(std|role|cli|bench|sim|doctor|telemetry)\//,
        'a clock, timer or chance that is not a parameter (std/clock.ts, std/prng.ts)',
      ),
    ).toEqual([]);
  });
});
