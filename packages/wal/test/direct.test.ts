// Batches that are written past the page cache (syncMethod 'direct'): what is acknowledged is durable without a sync, and
// where the way past the cache is closed, for a file system, for a piece of memory or for the rest of a write, the same
// bytes are written and synced.

import { blockCrcFrontBytes } from '@flotilla/codec';
import type { FlotillaError } from '@flotilla/io';
import { type DiskCall, type FaultEffect, loseEverything } from '@flotilla/testkit';
import { describe, expect, it } from 'vitest';
import type { SyncMethod } from '../src/api.ts';
import { payloadIn } from './harness.ts';
import {
  append,
  directory,
  expectPoisoned,
  lastIndexes,
  openGroup,
  segment,
  SimLogHost,
  type SimLog,
  started,
} from './sim-harness.ts';

const direct = { syncMethod: 'direct' } as const;
const error = (code: string): FaultEffect => ({ kind: 'error', code });
const cacheLine = /does not write past its cache/;
const memoryLine = /no memory to be had that begins at a page/;

/** A segment that was made of a spare is still named after it. */
const isOfLog = (path: string): boolean => isSegment(path) || /\/spare-/.test(path);
const isSegment = (path: string): boolean => /\/[0-9a-f]{16}\.seg$/.test(path);

/** Calls of this kind on segments that were opened under their names: the first one, and any second descriptor. */
function segmentCalls(host: SimLogHost, op: DiskCall['op']): DiskCall[] {
  return host.disk.callLog.filter((call) => call.op === op && isSegment(call.path));
}

/** Lays one entry a turn until the log has rotated that often; answers the last index. */
function fill(host: SimLogHost, log: SimLog, slot: number, rotations: number): number {
  let last = lastIndexes(log)[1] as number;
  while (log.wal.counters.rotations < rotations) {
    append(log, slot, ++last, ['x'.repeat(7000)]);
    host.sync(log);
    host.runMs(20);
  }
  return last;
}

/** Closes in the life that goes on, so that what stays open is seen. */
function closed(host: SimLogHost, log: SimLog): FlotillaError | null {
  let outcome: FlotillaError | null | undefined;
  log.wal.close((failure) => {
    outcome = failure as FlotillaError | null;
  });
  host.run(() => outcome !== undefined);
  host.runMs(1000);
  return outcome as FlotillaError | null;
}

/** Whether a power cut now would leave the file as it is seen. */
function isDurable(host: SimLogHost, path: string): boolean {
  const copy = host.disk.clone();
  copy.crash(loseEverything);
  return Buffer.compare(copy.surgery.read(path), host.disk.surgery.read(path)) === 0;
}

function linesLike(host: SimLogHost, line: RegExp): number {
  return host.info.filter((each) => line.test(each)).length;
}

describe('a batch that is written past the page cache', () => {
  it('WF60: survives a power cut the moment it is acknowledged, without a sync', () => {
    const payloads: Record<string, (index: number) => string[]> = {
      'one page': () => ['small'],
      // Batches of three records of 7,000 bytes each: they reach over the end of a slab.
      'several slabs': () => ['x'.repeat(6000), 'y'.repeat(6000), 'z'.repeat(6000)],
      'a slab of its own': () => ['x'.repeat(30_000)],
    };
    for (const [name, texts] of Object.entries(payloads)) {
      const { host, log, slot } = started(direct);
      const { syncs } = log.wal.counters;
      let last = 1;
      for (let turn = 0; turn < 6; turn++) {
        for (let block = 0; block < (name === 'several slabs' ? 3 : 1); block++) {
          const laid = texts(last);
          append(log, slot, last + 1, laid);
          last += laid.length;
        }
        host.sync(log);
      }
      expect(log.wal.counters.syncs - syncs).toBe(log.wal.counters.rotations);
      expect(segmentCalls(host, 'datasync')).toEqual([]);
      host.powerCut(loseEverything);
      expect([name, lastIndexes(host.open(direct))]).toEqual([name, { 1: last }]);
      expect(linesLike(host, cacheLine) + linesLike(host, memoryLine)).toBe(0);
    }
  });

  it('WF34: goes on past the cache where a write was short, from the page where it stopped', () => {
    const shapes: [number | ((asked: number) => number), number][] = [
      [4096, 3],
      [4608, 3],
      [(asked) => asked - 512, 1],
    ];
    for (const [bytes, times] of shapes) {
      const { host, log, slot } = started(direct);
      const { syncs } = log.wal.counters;
      const fault = host.disk.plan({
        op: 'writev',
        path: segment(1),
        times,
        effect: { kind: 'short', bytes },
      });
      append(log, slot, 2, ['two'.repeat(9000)]);
      host.sync(log);
      expect(fault.hits).toBe(times);
      expect(log.wal.counters.syncs).toBe(syncs);
      expect(linesLike(host, cacheLine)).toBe(0);
      host.powerCut(loseEverything);
      expect(lastIndexes(host.open(direct))).toEqual({ 1: 2 });
    }
  });

  it('WF34: goes on through the cache, and is synced, where a short write ended in its first page', () => {
    const { host, log, slot } = started(direct);
    const { syncs } = log.wal.counters;
    host.disk.plan({ op: 'writev', path: segment(1), effect: { kind: 'short', bytes: 512 } });
    append(log, slot, 2, ['two'.repeat(3000)]);
    host.sync(log);
    expect(log.poison).toEqual([]);
    expect(log.wal.counters.syncs).toBe(syncs + 1);
    // The next one takes the short way again.
    append(log, slot, 3, ['three']);
    host.sync(log);
    expect(log.wal.counters.syncs).toBe(syncs + 1);
    host.powerCut(loseEverything);
    expect(lastIndexes(host.open(direct))).toEqual({ 1: 3 });
  });

  it('WF35: poisons where its write fails, and is not written again', () => {
    for (const code of ['EIO', 'EBADF', 'EFBIG']) {
      for (const applied of ['none', 'part', 'all'] as const) {
        const { host, log, slot } = started(direct);
        const fault = host.disk.plan({
          op: 'writev',
          path: segment(1),
          effect: { kind: 'error', code, applied },
        });
        append(log, slot, 2, ['two'.repeat(3000)]);
        host.sync(log);
        expect(fault.matches).toBe(1);
        expect(log.poison[0]?.details).toMatchObject({ seq: 2, code });
        expectPoisoned(host, log, { 1: 1 });
        expect(fault.matches).toBe(1);
      }
    }
  });

  it('WF35: poisons where its descriptor cannot be opened, and says at which batch', () => {
    const host = new SimLogHost();
    const log = host.open(direct);
    const slot = openGroup(log, 1);
    host.sync(log);
    const last = fill(host, log, slot, 1);
    append(log, slot, last + 1, ['x'.repeat(7000)]);
    host.sync(log);
    host.disk.plan({ op: 'open', path: segment(3), effect: error('EMFILE') });
    let next = last + 1;
    for (; log.poison.length === 0; next++) {
      append(log, slot, next + 1, ['x'.repeat(7000)]);
      host.sync(log);
    }
    expect(log.poison[0]?.details).toMatchObject({
      code: 'EMFILE',
      offset: 4096,
      segment: segment(3).slice(directory.length + 1),
    });
    host.powerCut(loseEverything);
    expect(lastIndexes(host.open(direct))[1]).toBeGreaterThanOrEqual(next - 1);
  });

  it('WF36: is waited for where it finds no space, interrupted or not, and is there once', () => {
    for (const code of ['ENOSPC', 'EDQUOT', 'EINTR', 'EAGAIN']) {
      const { host, log, slot } = started(direct);
      const fault = host.disk.plan({
        op: 'writev',
        path: segment(1),
        times: 4,
        effect: { kind: 'error', code, applied: 'part' },
      });
      append(log, slot, 2, ['two'.repeat(3000)]);
      const position = log.wal.endTurn();
      append(log, slot, 3, ['three']);
      log.wal.endTurn();
      host.run(() => log.wal.durablePosition >= position);
      expect([log.poison, fault.hits]).toEqual([[], 4]);
      expect(linesLike(host, cacheLine)).toBe(0);
      host.powerCut(loseEverything);
      const again = host.open(direct);
      expect(lastIndexes(again)[1]).toBeGreaterThanOrEqual(2);
      host.close(again);
      expect(host.open(direct).wal.report.verdict).toBe('clean');
    }
  });

  it('is read back from the disk while the next ones are written', () => {
    const host = new SimLogHost();
    const log = host.open({ ...direct, cacheBytes: 0 });
    const slot = openGroup(log, 1);
    const texts = new Map<number, string>();
    let answers = 0;
    let asked = 0;
    for (let index = 1; index <= 60; index++) {
      texts.set(index, `${index}`.padEnd(5000, '.'));
      append(log, slot, index, [texts.get(index) as string]);
      const position = log.wal.endTurn();
      for (const old of [1, index - 9, index - 4].filter((each) => each >= 1 && each < index - 3)) {
        asked++;
        log.wal.load(slot, old, (failure, ref) => {
          expect(failure).toBeNull();
          expect(payloadIn(ref, old)).toBe(texts.get(old));
          answers++;
        });
      }
      host.run(() => log.wal.durablePosition >= position);
    }
    host.run(() => answers === asked);
    expect(log.wal.counters.readsFromDisk).toBeGreaterThan(20);
    expect(host.close(log)).toBeNull();
  });
});

describe('where nothing can be written past the page cache', () => {
  /** What the log does after that: as with fdatasync, in this segment and the next ones, and nothing is lost. */
  function expectSynced(host: SimLogHost, log: SimLog, slot: number): void {
    expect(log.poison).toEqual([]);
    const { syncs, batches, rotations } = log.wal.counters;
    const { callCount } = host.disk;
    const last = fill(host, log, slot, rotations + 2);
    const { counters } = log.wal;
    expect(counters.syncs - syncs).toBe(counters.batches - batches + 2);
    expect(linesLike(host, cacheLine)).toBe(1);
    // Nobody asks again: what is opened and closed is for reading or a spare, and of the first segment at the latest.
    const opened = host.disk.callLog.slice(callCount).filter(({ op }) => op === 'open');
    expect(opened.filter(({ path }) => isSegment(path))).toEqual([]);
    expect(host.disk.openFiles.filter(({ mode }) => mode === 'writeDirect')).toEqual([]);
    host.powerCut(loseEverything);
    expect(lastIndexes(host.open())).toEqual({ 1: last });
  }

  it('WF35: a file system that says so when a file is opened gets its batches written and synced', () => {
    const host = new SimLogHost();
    host.disk.hasDirect = false;
    const log = host.open(direct);
    const slot = openGroup(log, 1);
    append(log, slot, 1, ['one']);
    host.sync(log);
    expect(segmentCalls(host, 'datasync')).toHaveLength(1);
    expectSynced(host, log, slot);
  });

  it('WF35: a file system that says so at a write gets the same bytes again, synced, before they are acknowledged', () => {
    for (const code of ['EINVAL', 'ENOTSUP', 'EOPNOTSUPP']) {
      for (const before of [0, 1, 3]) {
        const host = new SimLogHost();
        const log = host.open(direct);
        const slot = openGroup(log, 1);
        for (let index = 1; index <= before; index++) {
          append(log, slot, index, ['before']);
          host.sync(log);
        }
        expect(segmentCalls(host, 'datasync')).toEqual([]);
        const fault = host.disk.plan({ op: 'writev', path: segment(1), effect: error(code) });
        // After a part of the batch, too.
        if (before === 3) {
          fault.remove();
          const short = { kind: 'short', bytes: 4096 } as const;
          host.disk.plan({ op: 'writev', path: segment(1), effect: short });
          host.disk.plan({ op: 'writev', path: segment(1), after: 1, effect: error(code) });
        }
        append(log, slot, before + 1, ['refused'.repeat(2000)]);
        host.sync(log);
        expect(segmentCalls(host, 'datasync')).toHaveLength(1);
        expect(linesLike(host, cacheLine)).toBe(1);
        expect(isDurable(host, segment(1))).toBe(true);
        expect(log.wal.counters.rotations).toBe(0);
        fill(host, log, slot, 1);
        append(log, slot, (lastIndexes(log)[1] as number) + 1, ['in the next segment']);
        host.sync(log);
        expectSynced(host, log, slot);
      }
    }
  });

  it('WF35: a write that is refused through the cache as well poisons', () => {
    const { host, log, slot } = started(direct);
    const fault = host.disk.plan({
      op: 'writev',
      path: segment(1),
      times: 1e9,
      effect: error('EINVAL'),
    });
    append(log, slot, 2, ['two']);
    host.sync(log);
    expect(fault.matches).toBe(2);
    expectPoisoned(host, log, { 1: 1 });
  });

  it('WF31: a sync that fails after that poisons and is not tried again', () => {
    const { host, log, slot } = started(direct);
    host.disk.plan({ op: 'writev', path: segment(1), effect: error('EINVAL') });
    const fault = host.disk.plan({
      op: 'datasync',
      path: segment(1),
      effect: { kind: 'syncError', code: 'EIO', pages: 'dropped' },
    });
    append(log, slot, 2, ['two']);
    host.sync(log);
    expectPoisoned(host, log, { 1: 1 });
    expect(fault.matches).toBe(1);
  });

  it('WF60: a batch in memory that does not begin at a page is written and synced', () => {
    const host = new SimLogHost();
    let asked = 0;
    host.disk.alignedMemory = () => {
      asked++;
      return null;
    };
    const log = host.open(direct);
    const slot = openGroup(log, 1);
    let last = 0;
    while (log.wal.counters.rotations < 2) {
      append(log, slot, ++last, ['x'.repeat(7000)]);
      host.sync(log);
      host.runMs(20);
      expect(isDurable(host, segment(log.wal.counters.rotations + 1))).toBe(true);
    }
    const { syncs, batches, rotations } = log.wal.counters;
    expect(syncs).toBe(batches + rotations);
    expect(linesLike(host, cacheLine)).toBe(0);
    expect(linesLike(host, memoryLine)).toBe(1);
    // Each attempt would cost a collection of garbage.
    expect(asked).toBe(1);
    host.powerCut(loseEverything);
    expect(lastIndexes(host.open(direct))).toEqual({ 1: last });
  });

  it('WF60: a batch of which a part is in such memory is written and synced, and the next one past the cache', () => {
    const host = new SimLogHost();
    const { disk } = host;
    const aligned = disk.alignedMemory.bind(disk);
    // Large records have memory of their own.
    disk.alignedMemory = (bytes) =>
      bytes > blockCrcFrontBytes + 16 * 1024 ? null : aligned(bytes);
    const log = host.open(direct);
    const slot = openGroup(log, 1);
    append(log, slot, 1, ['small']);
    append(log, slot, 2, ['large'.repeat(6000)]);
    host.sync(log);
    expect(segmentCalls(host, 'datasync')).toHaveLength(1);
    append(log, slot, 3, ['x'.repeat(9000)]);
    host.sync(log);
    append(log, slot, 4, ['x'.repeat(9000)]);
    host.sync(log);
    expect(segmentCalls(host, 'datasync')).toHaveLength(1);
    // The other way round: the batch ends in memory that is aligned.
    append(log, slot, 5, ['large'.repeat(6000)]);
    append(log, slot, 6, ['x'.repeat(9000)]);
    host.sync(log);
    expect(segmentCalls(host, 'datasync')).toHaveLength(2);
    expect([linesLike(host, cacheLine), linesLike(host, memoryLine)]).toEqual([0, 1]);
    host.powerCut(loseEverything);
    expect(lastIndexes(host.open(direct))).toEqual({ 1: 6 });
  });
});

describe('the second descriptor of a segment', () => {
  const methods: readonly SyncMethod[] = ['direct', 'dsync', 'fdatasync', 'none'];

  it('WF60: is closed when the next segment begins, and at the close of the log', () => {
    for (const syncMethod of methods) {
      const { host, log, slot } = started({ syncMethod });
      const mode = syncMethod === 'direct' ? 'writeDirect' : 'writeSync';
      const hasOne = syncMethod === 'direct' || syncMethod === 'dsync';
      for (let rotations = 0; rotations <= 3; rotations++) {
        fill(host, log, slot, rotations);
        host.runMs(100);
        const second = host.disk.openFiles.filter(
          (file) => file.mode.startsWith('write') && file.mode !== 'write',
        );
        expect(second).toEqual(hasOne ? [{ path: segment(rotations + 1), mode }] : []);
      }
      expect(host.disk.openFiles.filter(({ path }) => isOfLog(path)).length).toBeGreaterThan(3);
      expect(closed(host, log)).toBeNull();
      expect([syncMethod, host.disk.openFiles]).toEqual([syncMethod, []]);
    }
  });

  it('WF35: is closed once, with all others, by the close of a log that failed at any of its disk operations', () => {
    for (const syncMethod of methods) {
      let failed = 0;
      for (const effect of [error('EIO'), error('ENOSPC')]) {
        for (let after = 0; ; after++) {
          const host = new SimLogHost();
          const log = host.open({ syncMethod });
          const slot = openGroup(log, 1);
          const fault = host.disk.plan({
            op: ['open', 'writev', 'datasync', 'rename', 'syncDir'],
            after,
            times: 1e9,
            effect,
          });
          let last = 0;
          while (log.wal.counters.rotations < 2 && log.poison.length === 0 && last < 40) {
            append(log, slot, ++last, ['x'.repeat(7000)]);
            log.wal.endTurn();
            host.runMs(30);
          }
          // Also while what was begun is under way.
          if (after % 2 === 0) host.runMs(1000);
          const outcome = closed(host, log);
          expect([syncMethod, after, host.disk.openFiles]).toEqual([syncMethod, after, []]);
          if (fault.hits === 0) break;
          if (outcome !== null || log.poison.length > 0) failed++;
        }
      }
      expect(failed).toBeGreaterThan(40);
    }
  });

  it('is closed where the log ended while it was opened, and nothing is written to it', () => {
    const host = new SimLogHost();
    const log = host.open(direct);
    const slot = openGroup(log, 1);
    const slow = { kind: 'delay', delayUs: 50_000 } as const;
    host.disk.plan({ op: 'open', path: segment(1), effect: slow });
    host.disk.plan({ op: 'writev', path: /spare-/, effect: error('EIO') });
    append(log, slot, 1, ['one']);
    log.wal.endTurn();
    host.run(() => log.poison.length > 0);
    expect(host.disk.openFiles.filter(({ mode }) => mode === 'writeDirect')).toEqual([]);
    expect(closed(host, log)).toBeNull();
    expect(segmentCalls(host, 'writev')).toEqual([]);
    expect(host.disk.openFiles).toEqual([]);

    // A close waits for it instead, and for the batch.
    const other = new SimLogHost();
    const closing = other.open(direct);
    append(closing, openGroup(closing, 1), 1, ['one']);
    other.disk.plan({ op: 'open', path: segment(1), effect: slow });
    closing.wal.endTurn();
    expect(closed(other, closing)).toBeNull();
    expect(other.disk.openFiles).toEqual([]);
    expect(lastIndexes(other.open())).toEqual({ 1: 1 });
  });
});
