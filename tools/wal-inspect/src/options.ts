// The command line as data: which command, on which directory, with which filters. A wrong one is a UsageError that
// names what was wrong.

import { parseArgs } from 'node:util';

export class UsageError extends Error {}

export const commands = ['verify', 'explain', 'ls', 'store', 'groups', 'dump'] as const;
export type Command = (typeof commands)[number];

export interface Place {
  readonly segId: number;
  readonly page: number;
}

export interface Range {
  readonly from: number;
  readonly to: number;
}

export const payloadForms = ['none', 'hex', 'utf8'] as const;
export type PayloadForm = (typeof payloadForms)[number];

export interface Options {
  readonly command: Command;
  readonly directory: string;
  readonly json: boolean;
  readonly at: Place | null;
  readonly group: number | null;
  readonly indexes: Range;
  readonly seqs: Range;
  readonly type: string | null;
  readonly payload: PayloadForm;
}

export const usage = `usage: wal-inspect COMMAND DIR [options]

  verify DIR    check every checksum, the chain and the records; one verdict
  explain DIR   why the log opens, drops its tail or refuses   [--at SEGMENT:PAGE]
  ls DIR        segments and other files
  store DIR     the slots of STORE and the witnesses
  groups DIR    the groups of the log
  dump DIR      the records   [--group G] [--from I] [--to J] [--seq A..B] [--type NAME]
                              [--payload none|hex|utf8]   payloads may hold secrets: none by default

  --json        one JSON value (dump: one a line) instead of text

Reads only, takes no lock. Exit: 0 clean, 1 usage, 2 torn tail only, 3 corrupt, 4 cannot read, 5 locked, 6 unknown version.`;

const isOneOf = <T extends string>(list: readonly T[], value: string | undefined): value is T =>
  (list as readonly (string | undefined)[]).includes(value);

function wholeNumber(name: string, text: string | undefined, otherwise: number): number {
  if (text === undefined) return otherwise;
  const value = Number(text);
  if (!/^\d+$/.test(text) || !Number.isSafeInteger(value)) {
    throw new UsageError(`--${name} must be a whole number, not ${JSON.stringify(text)}`);
  }
  return value;
}

/** `2c:9114`: segment id in hex digits, as in its file name without the zeros, and page. */
function parsePlace(text: string): Place {
  const match = /^(?:0x)?([0-9a-f]{1,16}):(\d{1,10})$/.exec(text);
  const segId = Number.parseInt(match?.[1] ?? '', 16);
  if (!Number.isSafeInteger(segId)) {
    throw new UsageError(`--at must be SEGMENT:PAGE such as 2c:9114, not ${JSON.stringify(text)}`);
  }
  return { segId, page: Number(match?.[2]) };
}

function parseSeqs(text: string | undefined): Range {
  if (text === undefined) return { from: 0, to: Number.MAX_SAFE_INTEGER };
  const match = /^(\d+)?\.\.(\d+)?$/.exec(text);
  if (match === null) throw new UsageError(`--seq must be A..B, not ${JSON.stringify(text)}`);
  return {
    from: wholeNumber('seq', match[1], 0),
    to: wholeNumber('seq', match[2], Number.MAX_SAFE_INTEGER),
  };
}

export function parseOptions(argv: readonly string[]): Options {
  let parsed: ReturnType<typeof parse>;
  try {
    parsed = parse(argv);
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
  const { values, positionals } = parsed;
  const [command, directory, ...rest] = positionals;
  if (!isOneOf(commands, command)) {
    throw new UsageError(
      command === undefined ? 'no command' : `no command ${JSON.stringify(command)}`,
    );
  }
  if (directory === undefined) throw new UsageError(`${command} needs a directory`);
  if (rest.length > 0) throw new UsageError(`too many arguments: ${rest.join(' ')}`);
  const payload = values.payload ?? 'none';
  if (!isOneOf(payloadForms, payload)) {
    throw new UsageError(`--payload must be one of ${payloadForms.join(', ')}`);
  }
  return {
    command,
    directory,
    json: values.json === true,
    at: values.at === undefined ? null : parsePlace(values.at),
    group: values.group === undefined ? null : wholeNumber('group', values.group, 0),
    indexes: {
      from: wholeNumber('from', values.from, 0),
      to: wholeNumber('to', values.to, Number.MAX_SAFE_INTEGER),
    },
    seqs: parseSeqs(values.seq),
    type: values.type ?? null,
    payload,
  };
}

function parse(argv: readonly string[]) {
  return parseArgs({
    args: [...argv],
    allowPositionals: true,
    options: {
      json: { type: 'boolean' },
      at: { type: 'string' },
      group: { type: 'string' },
      from: { type: 'string' },
      to: { type: 'string' },
      seq: { type: 'string' },
      type: { type: 'string' },
      payload: { type: 'string' },
    },
  });
}
