// The help text, made from the table of flags.

import { type Flag, type Role, roles } from './flag.ts';
import { envTwin, flagGroups, isFlagName } from './flags.ts';
import { choicesText, valueText } from './value.ts';

const width = 100;
const indent = 32;

const head = `tdist - disaggregated LLM serving in one executable

Usage:
  tdist --role api|context|generate|baseline|all [flags]
  tdist TOOL [flags]

Roles:
  all       request plane, gateway and workers on this machine: the place to start
  api       OpenAI-compatible gateway and router
  context   prefill: encodes prompts and hands the KV cache over
  generate  decode: takes the KV cache and streams tokens
  baseline  prefill and decode in one process, to compare with`;

const foot = `Every flag has an environment twin, shown in brackets; the flag wins. Booleans take --x and --no-x.
Signals: SIGINT or SIGTERM finishes what runs and exits 0; a second one exits at once.
Exit codes: 0 done, 1 runtime failure, 2 usage.`;

/** All flags, or only those of one role. */
export function helpText(tools: ReadonlyMap<string, string>, role: Role | null): string {
  const toolLines = [...tools].map(([name, help]) => `  ${name.padEnd(10)}${help}`);
  const groups = flagGroups.flatMap(({ title, flags }) => {
    const rows = Object.entries(flags)
      .filter(([, flag]) => role === null || flag.roles.includes(role))
      .flatMap(([name, flag]) => flagLines(name, flag, role));
    return rows.length === 0 ? [] : [[`${title}:`, ...rows].join('\n')];
  });
  return [head, ['Tools:', ...toolLines].join('\n'), ...groups, foot].join('\n\n');
}

function flagLines(name: string, flag: Flag, role: Role | null): string[] {
  const twin = isFlagName(name) ? envTwin(name) : null;
  const left = `  --${name}${placeholder(flag)}`;
  const details = [choices(flag), defaultText(flag), role === null ? owners(flag) : ''];
  const more = details.filter((part) => part !== '').join('; ');
  const about = [flag.help, more && `(${more})`, twin && `[${twin}]`].filter(Boolean).join(' ');
  const [first = '', ...rest] = wrap(about, width - indent);
  const lines = rest.map((line) => ' '.repeat(indent) + line);
  if (left.length < indent - 1) return [left.padEnd(indent) + first, ...lines];
  return [left, ' '.repeat(indent) + first, ...lines];
}

function placeholder(flag: Flag): string {
  if (flag.kind === 'boolean') return '';
  return {
    string: ' TEXT',
    list: ' A,B',
    choice: ' NAME',
    integer: ' N',
    share: ' X',
    bytes: ' SIZE',
    duration: ' TIME',
  }[flag.kind];
}

function choices(flag: Flag): string {
  return flag.kind === 'choice' ? choicesText(flag.choices) : '';
}

function defaultText(flag: Flag): string {
  if (typeof flag.default === 'boolean') return flag.default ? 'default on' : '';
  if (flag.kind === 'bytes' && flag.default !== null)
    return `default ${flag.default / 2 ** 20} MiB`;
  if (flag.kind === 'duration' && flag.default !== null) return `default ${flag.default} s`;
  if (flag.default !== null && valueText(flag.default) !== '') {
    return `default ${valueText(flag.default)}`;
  }
  return flag.unset === undefined ? '' : `default: ${flag.unset}`;
}

function owners(flag: Flag): string {
  const names = flag.roles.filter((role) => role !== 'all');
  if (names.length === roles.length - 1) return '';
  return names.includes('api') ? 'api' : 'workers';
}

function wrap(text: string, columns: number): string[] {
  const lines = [''];
  for (const word of text.split(' ')) {
    const line = lines.at(-1) ?? '';
    if (line !== '' && line.length + 1 + word.length > columns) lines.push(word);
    else lines[lines.length - 1] = line === '' ? word : `${line} ${word}`;
  }
  return lines;
}
