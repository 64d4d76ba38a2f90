import * as fs from 'node:fs';
import * as path from 'node:path';
import { crc32 } from '@flotilla/codec';
import { createNodeWorld, type FlotillaError } from '@flotilla/io';
import { describe, expect, it } from 'vitest';
import { inspectDirectory } from '../src/inspect/inspect-directory.ts';
import type { Inspection } from '../src/inspect/inspection.ts';
import { movedDifference } from '../src/repair/drop-group.ts';
import type { RepairOutcome, RepairRequest } from '../src/repair/plan.ts';
import { repairDirectory } from '../src/repair/repair-directory.ts';
import { createLog, openLog, tempDir } from './harness.ts';

const world = createNodeWorld();
const segment = '0000000000000001.seg';
const page = 4096;

function repair(from: string, to: string, request: RepairRequest): Promise<RepairOutcome> {
  return new Promise((resolve, reject) => {
    repairDirectory(world, from, to, request, (error, outcome) =>
      error === null ? resolve(outcome) : reject(error),
    );
  });
}

function inspect(directory: string): Promise<Inspection> {
  return new Promise((resolve) => inspectDirectory(world.disk, directory, {}, resolve));
}

function change(directory: string, name: string, edit: (bytes: Buffer) => void): void {
  const file = path.join(directory, name);
  const bytes = fs.readFileSync(file);
  edit(bytes);
  fs.writeFileSync(file, bytes);
}

function contents(directory: string): Map<string, string> {
  return new Map(
    fs
      .readdirSync(directory)
      .map((name) => [name, fs.readFileSync(path.join(directory, name), 'base64')]),
  );
}

/** Groups 7 and 8 with entries in the same batches, one batch an entry each, closed. */
async function closedStore(entries = 4): Promise<string> {
  const directory = tempDir();
  const log = await createLog(directory);
  const seven = log.group(7, 3);
  const eight = log.group(8, 3);
  await log.sync();
  for (let index = 1; index <= entries; index++) {
    log.append(seven, index, [`seven ${index}`.padEnd(300, '.')]);
    log.append(eight, index, [`eight ${index}`.padEnd(300, '.')]);
    await log.sync();
  }
  await log.close();
  return directory;
}

async function lasts(directory: string): Promise<Record<string, string>> {
  const log = await openLog({ directory });
  const found: Record<string, string> = {};
  for (const group of log.wal.recoveredGroups()) {
    const { slot, lastIndex, isRemoved } = group;
    found[group.groupId] = isRemoved
      ? `tombstone ${group.generation} ${group.term}`
      : `${lastIndex} ${(await log.payload(slot, lastIndex)).slice(0, 7)}`;
  }
  await log.close();
  return found;
}

describe('a repair', () => {
  it('flips back a bit in the middle of the log, keeps the instance, and changes nothing of the old directory', async () => {
    const directory = await closedStore();
    change(directory, segment, (bytes) => {
      const at = 2 * page + 200;
      bytes[at] = (bytes[at] as number) ^ 16;
    });
    const before = contents(directory);
    const to = `${directory}.new`;
    const outcome = await repair(directory, to, { kind: 'fix-bitflip', segId: 1, page: 2 });
    expect(outcome).toMatchObject({
      kind: 'repaired',
      keepsInstance: true,
      instance: 77,
      lost: [],
    });
    expect(contents(directory)).toEqual(before);
    expect(await lasts(to)).toEqual({ 7: '4 seven 4', 8: '4 eight 4' });
  });

  it('flips back a bit of a segment header', async () => {
    const directory = await closedStore();
    change(directory, segment, (bytes) => {
      bytes[41] = (bytes[41] as number) ^ 2;
    });
    const to = `${directory}.new`;
    const outcome = await repair(directory, to, { kind: 'fix-bitflip', segId: 1, page: 0 });
    expect(outcome).toMatchObject({ kind: 'repaired', keepsInstance: true });
    expect((await inspect(to)).verdict).toBe('clean');
  });

  it('refuses to guess where no single bit explains the damage', async () => {
    const directory = await closedStore();
    change(directory, segment, (bytes) => bytes.fill(1, 2 * page + 200, 2 * page + 210));
    const to = `${directory}.new`;
    const outcome = await repair(directory, to, { kind: 'fix-bitflip', segId: 1, page: 2 });
    expect(outcome).toMatchObject({ kind: 'unfit' });
    expect(fs.existsSync(to)).toBe(false);
  });

  it('gives up everything from a page on, under a new instance', async () => {
    const directory = await closedStore();
    change(directory, segment, (bytes) => bytes.fill(1, 3 * page + 200, 3 * page + 210));
    expect((await inspect(directory)).refusal?.reason).toBe('E_CORRUPT_ACKED');
    const to = `${directory}.new`;
    const outcome = await repair(directory, to, { kind: 'drop-after', segId: 1, page: 3 });
    expect(outcome).toMatchObject({ kind: 'repaired', keepsInstance: false, lastSeq: 2 });
    if (outcome.kind === 'repaired') expect(outcome.instance).not.toBe(77);
    expect(await lasts(to)).toEqual({ 7: '1 seven 1', 8: '1 eight 1' });
    const middle = await repair(directory, `${directory}.no`, {
      kind: 'drop-after',
      segId: 1,
      page: 20,
    });
    expect(middle).toMatchObject({ kind: 'unfit' });
  });

  it('makes a STORE anew from the segments', async () => {
    const directory = await closedStore();
    change(directory, 'STORE', (bytes) => bytes.fill(0xa5, 0, 2 * page));
    expect((await inspect(directory)).refusal?.reason).toBe('E_STORE');
    const to = `${directory}.new`;
    const outcome = await repair(directory, to, { kind: 'rebuild-store' });
    expect(outcome).toMatchObject({ kind: 'repaired', keepsInstance: false });
    expect(await lasts(to)).toEqual({ 7: '4 seven 4', 8: '4 eight 4' });
  });

  it('says which segments are lost with a STORE made anew, where the old one can be read and names them', async () => {
    const directory = await closedStore(60);
    const names = fs.readdirSync(directory).filter((name) => /^[0-9a-f]{16}[.]seg$/.test(name));
    const newest = names.at(-1) as string;
    expect(names.length).toBeGreaterThan(1);
    fs.unlinkSync(path.join(directory, newest));
    const outcome = await repair(directory, `${directory}.new`, { kind: 'rebuild-store' });
    expect(outcome).toMatchObject({
      kind: 'repaired',
      lost: [
        expect.stringContaining('the certainty'),
        `${newest}, which STORE names as newer: every batch in them, acknowledged ones too`,
      ],
    });
  });

  it('gives up one group and keeps the others, also where that group’s entries are what is damaged', async () => {
    for (const damaged of [false, true]) {
      const directory = await closedStore(60);
      if (damaged) {
        const holder = fs
          .readdirSync(directory)
          .find((name) => fs.readFileSync(path.join(directory, name)).includes('seven 40'));
        change(directory, holder as string, (bytes) => {
          const at = bytes.indexOf('seven 40');
          bytes.fill(0x21, at + 10, at + 40);
        });
        expect((await inspect(directory)).refusal?.reason).not.toBeUndefined();
      }
      const to = `${directory}.new`;
      const outcome = await repair(directory, to, { kind: 'drop-group', groupId: 7 });
      expect(outcome).toMatchObject({ kind: 'repaired', keepsInstance: false });
      expect(await lasts(to)).toEqual({ 7: 'tombstone 1 3', 8: '60 eight 6' });
    }
  });

  it('does not give a group up for damage that may lie elsewhere', async () => {
    const directory = await closedStore();
    change(directory, segment, (bytes) => {
      bytes.fill(0x21, bytes.indexOf('seven 3') + 10, bytes.indexOf('seven 3') + 20);
      bytes.fill(0x21, bytes.indexOf('eight 3') + 10, bytes.indexOf('eight 3') + 20);
    });
    const to = `${directory}.new`;
    const outcome = await repair(directory, to, { kind: 'drop-group', groupId: 7 });
    expect(outcome).toMatchObject({ kind: 'refused' });
    expect(fs.existsSync(path.join(to, 'STORE'))).toBe(false);
  });

  it('refuses a directory that is open and a target that is not empty', async () => {
    const directory = tempDir();
    const log = await createLog(directory);
    const open = repair(directory, `${directory}.new`, { kind: 'rebuild-store' });
    await expect(open).rejects.toMatchObject({
      code: 'WAL_LOCKED',
    } satisfies Partial<FlotillaError>);
    await log.close();
    const full = repair(directory, directory, { kind: 'rebuild-store' });
    await expect(full).rejects.toMatchObject({ code: 'WAL_NOT_EMPTY' });
  });
});

describe('a checksum difference', () => {
  it('moves on over the bytes behind it as the checksum of the whole does', () => {
    const whole = Uint8Array.from({ length: 9000 }, (_, i) => (i * 131) & 0xff);
    const changed = whole.slice();
    changed.fill(0x55, 100, 140);
    for (const end of [140, 141, 500, 8999, 9000]) {
      const inner = (crc32(whole, 50, end) ^ crc32(changed, 50, end)) >>> 0;
      const outer = (crc32(whole, 0, 9000) ^ crc32(changed, 0, 9000)) >>> 0;
      expect(movedDifference(inner, 9000 - end)).toBe(outer);
    }
  });
});
