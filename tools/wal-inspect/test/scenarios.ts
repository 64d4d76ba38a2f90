// Ten kinds of damage, each done to a log that was written in virtual time, so that every byte of it, and every word that
// is said about it, is the same on every machine. The guide shows what `explain` says of each.

import * as fs from 'node:fs';
import * as path from 'node:path';
import {
  append,
  directory as simDirectory,
  openGroup,
  SimLogHost,
} from '../../../packages/wal/test/sim-harness.ts';

export type Files = Map<string, Uint8Array>;

export interface Scenario {
  readonly name: string;
  readonly files: Files;
}

const page = 4096;
const first = '0000000000000001.seg';
const second = '0000000000000002.seg';

function filesOf(host: SimLogHost): Files {
  host.disk.settle();
  const { surgery } = host.disk;
  const files: Files = new Map();
  for (const name of surgery.list(simDirectory)) {
    if (name !== 'LOCK' && name !== 'reserve.seg')
      files.set(name, surgery.read(`${simDirectory}/${name}`));
  }
  return files;
}

interface Written {
  readonly files: Files;
  /** The directory as it was in the middle of the run. */
  readonly before: Files;
}

/** A log of two groups, `batches` batches of about `bytes` bytes. `end`: killed at once, after a quiet second, or closed. */
function write(batches: number, bytes: number, end: 'killed' | 'quiet' | 'closed'): Written {
  const host = new SimLogHost(7);
  const log = host.open();
  const slots = [openGroup(log, 12), openGroup(log, 7012)];
  host.sync(log);
  let before: Files = new Map();
  for (let index = 1; index <= batches; index++) {
    for (const slot of slots) append(log, slot, index, [`${index}`.padEnd(bytes, '.')], 33);
    host.sync(log);
    if (index === Math.floor(batches / 2)) before = filesOf(host);
  }
  if (end === 'quiet') host.runMs(1000);
  if (end === 'closed') host.close(log);
  else host.kill();
  return { files: filesOf(host), before };
}

function edited(files: Files, name: string, edit: (bytes: Uint8Array) => void): Files {
  const bytes = (files.get(name) as Uint8Array).slice();
  edit(bytes);
  return new Map(files).set(name, bytes);
}

/** Offset of the last batch: the page of the last header. */
function lastBatch(bytes: Uint8Array): number {
  for (let at = bytes.length - page; at > 0; at -= page) {
    if (Buffer.from(bytes.buffer, bytes.byteOffset + at, 4).toString('latin1') === 'FLWB')
      return at;
  }
  throw new Error('no batch');
}

function flip(bytes: Uint8Array, at: number, bit: number): void {
  bytes[at] = (bytes[at] as number) ^ (1 << bit);
}

export function scenarios(): Scenario[] {
  const small = write(6, 600, 'killed').files;
  const witnessed = write(6, 600, 'quiet').files;
  const long = write(40, 2000, 'killed');
  const cut = (bytes: Uint8Array): Uint8Array => bytes.slice(0, lastBatch(bytes) + 512);
  const two = new Map(long.files);
  return [
    {
      name: 'torn-tail',
      files: edited(small, first, (bytes) => {
        const at = lastBatch(bytes);
        bytes.fill(0, at + 512, at + page);
      }),
    },
    {
      name: 'flipped-bit',
      files: edited(small, first, (bytes) => flip(bytes, 3 * page + 300, 5)),
    },
    {
      name: 'zeroed-page',
      files: edited(small, first, (bytes) => bytes.fill(0, 3 * page, 4 * page)),
    },
    {
      name: 'suspect-last-batch',
      files: edited(small, first, (bytes) => flip(bytes, lastBatch(bytes) + 200, 2)),
    },
    {
      name: 'file-cut-short',
      files: new Map(witnessed).set(first, cut(witnessed.get(first) as Uint8Array)),
    },
    {
      name: 'sealed-segment-damaged',
      files: edited(long.files, first, (bytes) => {
        for (let i = 0; i < 1024; i++) bytes[5 * page + i] = (i * 37) & 0xff;
      }),
    },
    { name: 'segment-missing', files: new Map([...two].filter(([name]) => name !== first)) },
    {
      name: 'segment-under-another-name',
      files: new Map(two).set(second, long.files.get(first) as Uint8Array),
    },
    {
      name: 'store-damaged',
      files: edited(small, 'STORE', (bytes) => {
        bytes.fill(0xa5, 64, 128);
        bytes.fill(0xa5, page + 64, page + 128);
      }),
    },
    {
      name: 'store-from-a-backup',
      files: new Map(two).set('STORE', long.before.get('STORE') as Uint8Array),
    },
  ];
}

/** Puts the files into a directory that is not there yet. */
export function layOut(files: Files, directory: string): void {
  fs.mkdirSync(directory, { recursive: true });
  for (const [name, bytes] of files) fs.writeFileSync(path.join(directory, name), bytes);
}
