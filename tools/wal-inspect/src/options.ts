// The command line as data: which command, on which directory, with which filters. A wrong one is a UsageError that
// names what was wrong; an option that a command does not have is wrong too, not ignored.

import { parseArgs } from 'node:util';
import { scanWorkersMax } from '@flotilla/wal';
import { typeNames } from './record-walk.ts';
import { type CommandName, commandNames, commands, optionTable } from './usage.ts';

export class UsageError extends Error {}

export interface Place {
  readonly segId: number;
  readonly page: number;
}

export interface Range {
  readonly from: number;
  readonly to: number;
}

export const payloadForms = ['none', 'hex', 'utf8', 'msgpack'] as const;
export type PayloadForm = (typeof payloadForms)[number];

export type RepairPlan =
  | { readonly kind: 'drop-after'; readonly place: Place }
  | { readonly kind: 'fix-bitflip'; readonly place: Place }
  | { readonly kind: 'drop-group'; readonly group: number }
  | { readonly kind: 'rebuild-store' };

export interface Options {
  readonly command: CommandName;
  /** The arguments behind the command; `directory` is the first, '' where there is none. */
  readonly arguments: readonly string[];
  readonly directory: string;
  readonly json: boolean;
  readonly strict: boolean;
  readonly index: boolean;
  readonly follow: boolean;
  readonly deep: boolean;
  /** Null: as many as there are processors for. */
  readonly jobs: number | null;
  readonly acceptDataLoss: boolean;
  readonly at: Place | null;
  readonly group: number | null;
  readonly indexes: Range;
  readonly seqs: Range;
  readonly type: string | null;
  readonly payload: PayloadForm;
  readonly decoder: string | null;
  readonly lines: number;
  readonly count: number;
  readonly out: string | null;
  readonly repair: RepairPlan | null;
}

type Values = Readonly<Record<string, string | boolean | undefined>>;

function textOf(values: Values, name: string): string | undefined {
  const value = values[name];
  return typeof value === 'string' ? value : undefined;
}

function wholeNumber(name: string, text: string | undefined, otherwise: number): number {
  if (text === undefined) return otherwise;
  const value = Number(text);
  if (!/^\d+$/.test(text) || !Number.isSafeInteger(value)) {
    throw new UsageError(`${name} must be a whole number, not ${JSON.stringify(text)}`);
  }
  return value;
}

/** `2c:9114`: segment id in hex digits, as in its file name without the zeros, and page. */
export function parsePlace(name: string, text: string): Place {
  const match = /^(?:0x)?([0-9a-f]{1,16}):(\d{1,10})$/.exec(text);
  const segId = Number.parseInt(match?.[1] ?? '', 16);
  if (!Number.isSafeInteger(segId) || segId < 1) {
    throw new UsageError(
      `${name} must be SEGMENT:PAGE such as 2c:9114, not ${JSON.stringify(text)}`,
    );
  }
  return { segId, page: Number(match?.[2]) };
}

function parseSeqs(text: string | undefined): Range {
  if (text === undefined) return { from: 0, to: Number.MAX_SAFE_INTEGER };
  const match = /^(\d+)?\.\.(\d+)?$/.exec(text);
  if (match === null) throw new UsageError(`--seq must be A..B, not ${JSON.stringify(text)}`);
  return {
    from: wholeNumber('--seq', match[1], 0),
    to: wholeNumber('--seq', match[2], Number.MAX_SAFE_INTEGER),
  };
}

function parseRepair(values: Values): RepairPlan | null {
  const plans: RepairPlan[] = [];
  const dropAfter = textOf(values, 'drop-after');
  if (dropAfter !== undefined)
    plans.push({ kind: 'drop-after', place: parsePlace('--drop-after', dropAfter) });
  const bit = textOf(values, 'fix-bitflip');
  if (bit !== undefined)
    plans.push({ kind: 'fix-bitflip', place: parsePlace('--fix-bitflip', bit) });
  const group = textOf(values, 'drop-group');
  if (group !== undefined)
    plans.push({ kind: 'drop-group', group: wholeNumber('--drop-group', group, 0) });
  if (values['rebuild-store'] === true) plans.push({ kind: 'rebuild-store' });
  if (plans.length > 1) throw new UsageError('one repair at a time');
  return plans[0] ?? null;
}

function parseJobs(text: string | undefined): number | null {
  if (text === undefined) return null;
  const jobs = wholeNumber('--jobs', text, 0);
  if (jobs <= scanWorkersMax) return jobs;
  throw new UsageError(`--jobs must be from 0 to ${scanWorkersMax}, not ${jobs}`);
}

/** The name of a record type in capitals. */
function recordType(text: string | undefined): string | null {
  if (text === undefined) return null;
  const wanted = text.toUpperCase();
  const names = Object.values(typeNames);
  if (names.includes(wanted) || /^TYPE \d+$/.test(wanted)) return wanted;
  throw new UsageError(`--type must be one of ${names.join(', ')}, or "type N"`);
}

function parse(argv: readonly string[]): { values: Values; positionals: string[] } {
  try {
    const { values, positionals } = parseArgs({
      args: [...argv],
      allowPositionals: true,
      options: Object.fromEntries(
        Object.entries(optionTable).map(([name, option]) => [
          name,
          'short' in option ? { type: option.type, short: option.short } : { type: option.type },
        ]),
      ),
    });
    return { values: values as Values, positionals };
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}

function isCommand(name: string | undefined): name is CommandName {
  return (commandNames as readonly (string | undefined)[]).includes(name);
}

export function parseOptions(argv: readonly string[]): Options {
  const { values, positionals } = parse(argv);
  const [command, ...rest] = positionals;
  if (!isCommand(command)) {
    throw new UsageError(
      command === undefined ? 'no command' : `no command ${JSON.stringify(command)}`,
    );
  }
  const wanted: readonly string[] = commands[command].arguments;
  if (rest.length < wanted.length) {
    const missing = wanted[rest.length] as string;
    const what = missing === 'DIR' ? 'a directory' : missing;
    throw new UsageError(`${command} needs ${what}`);
  }
  if (rest.length > wanted.length) {
    throw new UsageError(`too many arguments: ${rest.slice(wanted.length).join(' ')}`);
  }
  const known: readonly string[] = ['json', ...commands[command].options];
  const foreign = Object.keys(values).find((name) => !known.includes(name));
  if (foreign !== undefined) throw new UsageError(`${command} has no option --${foreign}`);
  const payload = textOf(values, 'payload') ?? 'none';
  const form = payloadForms.find((each) => each === payload);
  if (form === undefined)
    throw new UsageError(`--payload must be one of ${payloadForms.join(', ')}`);
  const at = textOf(values, 'at');
  const group = textOf(values, 'group');
  return {
    command,
    arguments: rest,
    directory: rest[0] ?? '',
    json: values.json === true,
    strict: values.strict === true,
    index: values.index === true,
    follow: values.follow === true,
    deep: values.deep === true,
    jobs: parseJobs(textOf(values, 'jobs')),
    acceptDataLoss: values['accept-data-loss'] === true,
    at: at === undefined ? null : parsePlace('--at', at),
    group: group === undefined ? null : wholeNumber('--group', group, 0),
    indexes: {
      from: wholeNumber('--from', textOf(values, 'from'), 0),
      to: wholeNumber('--to', textOf(values, 'to'), Number.MAX_SAFE_INTEGER),
    },
    seqs: parseSeqs(textOf(values, 'seq')),
    type: recordType(textOf(values, 'type')),
    payload: form,
    decoder: textOf(values, 'decoder') ?? null,
    lines: wholeNumber('--lines', textOf(values, 'lines'), 10),
    count: wholeNumber('--count', textOf(values, 'count'), 1000),
    out: textOf(values, 'out') ?? null,
    repair: parseRepair(values),
  };
}

/** A number given as an argument: a group, an index. */
export function numberArgument(options: Options, at: number, name: string): number {
  return wholeNumber(name, options.arguments[at], 0);
}
