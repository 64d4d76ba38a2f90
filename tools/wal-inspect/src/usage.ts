// Commands and options as data: what each takes, and the text that says so.

export const optionTable = {
  json: { type: 'boolean' },
  jsonl: { type: 'boolean' },
  strict: { type: 'boolean' },
  index: { type: 'boolean' },
  follow: { type: 'boolean', short: 'f' },
  deep: { type: 'boolean' },
  jobs: { type: 'string' },
  'accept-data-loss': { type: 'boolean' },
  'rebuild-store': { type: 'boolean' },
  at: { type: 'string' },
  group: { type: 'string' },
  from: { type: 'string' },
  to: { type: 'string' },
  seq: { type: 'string' },
  type: { type: 'string' },
  payload: { type: 'string' },
  decoder: { type: 'string' },
  lines: { type: 'string' },
  count: { type: 'string' },
  out: { type: 'string' },
  'drop-after': { type: 'string' },
  'fix-bitflip': { type: 'string' },
  'drop-group': { type: 'string' },
} as const;

type OptionName = keyof typeof optionTable;

interface CommandSpec {
  readonly arguments: readonly string[];
  readonly options: readonly OptionName[];
}

export const commandNames = [
  'verify',
  'explain',
  'ls',
  'store',
  'groups',
  'group',
  'entry',
  'dump',
  'hexdump',
  'carve',
  'stats',
  'tail',
  'diff',
  'export',
  'bench',
  'repair',
  'checkpoint',
  'version',
] as const;
export type CommandName = (typeof commandNames)[number];

export const commands: Readonly<Record<CommandName, CommandSpec>> = {
  verify: { arguments: ['DIR'], options: ['strict', 'index', 'jobs'] },
  explain: { arguments: ['DIR'], options: ['at'] },
  ls: { arguments: ['DIR'], options: [] },
  store: { arguments: ['DIR'], options: [] },
  groups: { arguments: ['DIR'], options: ['group'] },
  group: { arguments: ['DIR', 'GROUP'], options: [] },
  entry: { arguments: ['DIR', 'GROUP', 'INDEX'], options: ['payload', 'decoder'] },
  dump: {
    arguments: ['DIR'],
    options: ['group', 'from', 'to', 'seq', 'type', 'payload', 'decoder'],
  },
  hexdump: { arguments: ['DIR', 'SEGMENT:PAGE'], options: [] },
  carve: { arguments: ['FILE'], options: [] },
  stats: { arguments: ['DIR'], options: [] },
  tail: { arguments: ['DIR'], options: ['follow', 'lines', 'payload', 'decoder'] },
  diff: { arguments: ['A', 'B'], options: ['group', 'deep'] },
  export: { arguments: ['DIR'], options: ['group', 'from', 'to', 'jsonl'] },
  bench: { arguments: ['DIR'], options: ['count'] },
  repair: {
    arguments: ['DIR'],
    options: [
      'out',
      'drop-after',
      'fix-bitflip',
      'drop-group',
      'rebuild-store',
      'accept-data-loss',
    ],
  },
  checkpoint: { arguments: ['DIR', 'DEST'], options: [] },
  version: { arguments: [], options: [] },
};

export const usage = `usage: wal-inspect COMMAND DIR [options]

  verify DIR     check every checksum, the chain and the records; one verdict   [--strict] [--index] [--jobs N]
  explain DIR    why the log opens, drops its tail or refuses, and what to do   [--at SEGMENT:PAGE]
  ls DIR         segments and other files, also of a directory that cannot be opened
  store DIR      the slots of STORE and the witnesses
  groups DIR     the groups of the log   [--group G]
  group DIR G    the history of one group
  entry DIR G I  one entry: where it stands and whether it holds   [--payload FORM]
  dump DIR       the records   [--group G] [--from I] [--to J] [--seq A..B] [--type NAME] [--payload FORM]
  hexdump DIR SEGMENT:PAGE   the bytes of one page, with what they mean
  carve FILE     whole batches in a file, found page by page without STORE or header
  stats DIR      sizes of batches and entries, padding, what is live, which groups pin the oldest segment
  tail DIR       the last records   [--lines N] [-f | --follow] [--payload FORM]
  diff A B       what two logs say of the same groups   [--group G] [--deep]
  export DIR     groups and live entries as JSON lines, payloads in base64   [--group G] [--from I] [--to J]
  bench DIR      how long this file system takes to make 4 KiB durable   [--count N]
  version        formats and records that this version knows

  repair DIR --out NEW HOW   builds a new directory; the old one is not changed. HOW is one of
                   --fix-bitflip SEGMENT:PAGE | --drop-after SEGMENT:PAGE | --drop-group G | --rebuild-store,
                   with --accept-data-loss for all but the first
  checkpoint DIR DEST        a copy by hard links of a log that no process has open

  --payload none|hex|utf8|msgpack   payloads may hold secrets: none by default
  --decoder COMMAND   shows payloads as this shell command does: a line of hex in, a line of text out
  --jobs N       threads beside the main one that check a log of 256 MiB or more; two at most run, for the memory
  --json         JSON instead of text (one value; dump, tail, group and export: one a line)

Reads only and takes no lock, repair, checkpoint and bench aside. Exit: 0 clean, 1 usage, 2 torn tail only, 3 corrupt,
4 cannot read or write, 5 locked, 6 unknown version.`;
