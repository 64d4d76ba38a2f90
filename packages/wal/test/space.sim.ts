// Space: what is given up and when, what is written again for it, and what happens when there is none.

import { crc32, putU32, recordTypes, u32At } from '@flotilla/codec';
import type { FlotillaError } from '@flotilla/io';
import { describe, expect, it } from 'vitest';
import type { WalOptions } from '../src/api.ts';
import { segmentName } from '../src/format.ts';
import { inspectDirectory } from '../src/inspect/inspect-directory.ts';
import { openWal } from '../src/open.ts';
import { noVote, payloadIn, small } from './harness.ts';
import {
  append,
  directory,
  lastIndexes,
  openGroup,
  type SimLog,
  SimLogHost,
} from './sim-harness.ts';

const segmentPath = (id: number): string => `${directory}/${segmentName(id)}`;

/** Segment ids on disk, oldest first. */
function segmentIds(host: SimLogHost): number[] {
  return host.disk.surgery
    .list(directory)
    .filter((name) => /^[0-9a-f]{16}\.seg$/.test(name))
    .map((name) => Number.parseInt(name.slice(0, 16), 16));
}

function payloadOf(host: SimLogHost, log: SimLog, groupId: number, index: number): string {
  const slot = slotOf(log, groupId);
  let text: string | null = null;
  log.wal.load(slot, index, (error, ref) => {
    if (error !== null) throw error;
    text = payloadIn(ref, index);
  });
  host.run(() => text !== null);
  return text as unknown as string;
}

/** A group's slot is another one after a reopening. */
function slotOf(log: SimLog, groupId: number): number {
  const found = log.wal.recoveredGroups().find((group) => group.groupId === groupId);
  if (found === undefined) throw new Error(`no group ${groupId}`);
  return found.slot;
}

/** WAL_IDLE_BATCHES=100000 at night. */
const idleBatches = Number(process.env.WAL_IDLE_BATCHES ?? 1500);
/** Loops below go on until the log has done something: by then it has. */
const stepsMax = Math.max(5000, 2 * idleBatches);

/** Appends and commits one entry, and compacts all but the last `kept`. */
function step(log: SimLog, slot: number, index: number, bytes: number, kept: number): void {
  if (index > stepsMax) throw new Error('the log never does what is waited for');
  append(log, slot, index, [`${index}`.padEnd(bytes, '.')]);
  log.wal.noteCommit(slot, index);
  if (index > kept && index % 8 === 0) log.wal.layCompact(slot, index - kept);
}

/** A log whose group 1 is idle with three entries while group 2 writes until `segments` rotations have happened. */
function withIdleGroup(
  rotations: number,
  options: Partial<WalOptions> = {},
): {
  host: SimLogHost;
  log: SimLog;
  idle: number;
  busy: number;
  last: number;
} {
  const host = new SimLogHost();
  const log = host.open(options);
  const idle = openGroup(log, 1);
  const busy = openGroup(log, 2);
  append(log, idle, 1, ['a1', 'a2']);
  append(log, idle, 3, ['a3']);
  log.wal.noteCommit(idle, 2);
  host.sync(log);
  let last = 0;
  while (log.wal.counters.rotations < rotations) {
    step(log, busy, ++last, 3000, 4);
    host.sync(log);
    host.runMs(5);
  }
  return { host, log, idle, busy, last };
}

describe('the oldest segments', () => {
  it('WF58: an idle group pins nothing for more than two rotations, and is whole after its records moved', () => {
    const { host, log, busy } = withIdleGroup(2);
    expect(segmentIds(host)[0]).toBeGreaterThan(1);
    let last = (log.wal.recoveredGroups()[1] as { lastIndex: number }).lastIndex;
    let oldest = segmentIds(host)[0] as number;
    for (let round = 0; round < 20; round++) {
      const { rotations } = log.wal.counters;
      while (log.wal.counters.rotations < rotations + 2) {
        step(log, busy, ++last, 3000, 4);
        host.sync(log);
        host.runMs(5);
      }
      const now = segmentIds(host)[0] as number;
      expect(now).toBeGreaterThan(oldest);
      oldest = now;
    }
    expect(log.wal.counters.restatedGroups).toBeGreaterThan(10);
    expect(log.wal.counters.rewrittenBytes).toBeGreaterThan(1000);
    for (const cut of [() => host.powerCut(), () => host.kill()]) {
      cut();
      const again = host.open();
      const found = again.wal.recoveredGroups()[0];
      expect(found).toMatchObject({
        groupId: 1,
        firstIndex: 1,
        lastIndex: 3,
        term: 100,
        commit: 2,
      });
      expect(found?.termEnds).toEqual([{ term: 1, lastIndex: 3 }]);
      expect([1, 2, 3].map((i) => payloadOf(host, again, 1, i))).toEqual(['a1', 'a2', 'a3']);
    }
  });

  it('WF58: beside thousands of batches of others an idle group never holds more than the last segments', () => {
    const host = new SimLogHost();
    const log = host.open();
    const idle = openGroup(log, 1);
    const busy = openGroup(log, 2);
    append(log, idle, 1, ['a1', 'a2', 'a3']);
    log.wal.noteCommit(idle, 2);
    host.sync(log);
    let rotations = 0;
    let most = 0;
    for (let last = 1; log.wal.counters.batches < idleBatches; last++) {
      step(log, busy, last, 3000, 4);
      host.sync(log);
      if (log.wal.counters.rotations === rotations) continue;
      rotations = log.wal.counters.rotations;
      host.runMs(5);
      most = Math.max(most, segmentIds(host).length);
    }
    expect(rotations).toBeGreaterThan(idleBatches / 50);
    // The newest, and the two rotations that anything may hold.
    expect(most).toBeLessThanOrEqual(3);
    host.powerCut();
    const again = host.open();
    expect([1, 2, 3].map((i) => payloadOf(host, again, 1, i))).toEqual(['a1', 'a2', 'a3']);
  }, 600_000);

  it('WF58: entries whose only copy is gone are a hole, and the log refuses', () => {
    const { host, log } = withIdleGroup(3);
    host.close(log);
    host.disk.settle();
    // The rewritten entries become a record that nobody needs to know: all checksums hold.
    let isDone = false;
    const edits: { segId: number; at: number; length: number; header: number }[] = [];
    inspectDirectory(
      host.life.disk,
      directory,
      {
        onBatch: (segment, batch) => {
          for (
            let record = batch.recordsAt;
            record < batch.recordsEnd;
            record += u32At(batch.bytes, record + 4)
          ) {
            const isRewrite =
              batch.bytes[record] === recordTypes.entries && (batch.bytes[record + 1] ?? 0) === 1;
            if (!isRewrite || u32At(batch.bytes, record + 8) !== 1) continue;
            edits.push({
              segId: segment.segId,
              at: batch.offset + 64 + record - batch.recordsAt,
              length: batch.length,
              header: batch.offset,
            });
          }
        },
      },
      () => {
        isDone = true;
      },
    );
    host.run(() => isDone);
    host.end();
    const [first] = edits;
    if (first === undefined) throw new Error('nothing was rewritten');
    for (const { segId, at, length, header } of edits) {
      const bytes = host.disk.surgery.read(segmentPath(segId));
      bytes[at] = 200;
      putU32(bytes, header + 52, crc32(bytes, header + 64, header + length));
      host.disk.surgery.putFile(segmentPath(segId), bytes);
    }
    resealFrom(host, first.segId, first.header);
    const refusal = host.refusal();
    expect(refusal.code).toBe('WAL_CORRUPT');
    expect(refusal.details['reason']).toBe('E_HOLE');
    expect(refusal.message).toContain('group 1: index 1 of its log 1..3 stands nowhere');
  });

  it('the log stays within live bytes x 2 + 2 segments once nothing lags', () => {
    const host = new SimLogHost(3);
    const log = host.open();
    const slots = Array.from({ length: 12 }, (_, i) => openGroup(log, i + 1));
    const lasts = slots.map(() => 0);
    for (let round = 0; round < 400; round++) {
      slots.forEach((slot, i) => {
        // A few groups are slow: they write one entry where the others write twenty.
        if (i % 4 === 0 && round % 20 !== 0) return;
        lasts[i] = (lasts[i] as number) + 1;
        step(log, slot, lasts[i] as number, 700, 6);
      });
      host.sync(log);
      host.runMs(2);
      if (round < 50) continue;
      const { walBytes, liveBytes } = log.wal;
      // One segment more while the oldest is on its way out.
      expect(walBytes).toBeLessThanOrEqual(2 * liveBytes + 3 * small.segmentBytes);
    }
    host.runMs(60_000);
    expect(log.wal.walBytes).toBeLessThanOrEqual(2 * log.wal.liveBytes + 2 * small.segmentBytes);
    expect(log.wal.counters.segmentsRecycled).toBeGreaterThan(5);
    expect(host.close(log)).toBeNull();
    expect(lastIndexes(host.open())).toEqual(
      Object.fromEntries(lasts.map((last, i) => [i + 1, last])),
    );
  });

  it('a heavy group is asked three times to compact and then its entries are written again', () => {
    const hints: (readonly number[])[] = [];
    const host = new SimLogHost();
    const options = { segmentBytes: 1024 * 1024, batchBytesSoft: 64 * 1024 };
    const log = openWith(host, options, { onCompactHint: (slots) => hints.push(slots) });
    const heavy = openGroup(log, 1);
    const busy = openGroup(log, 2);
    for (let index = 1; index <= 12; index++) {
      append(log, heavy, index, [`${index}`.padEnd(25_000, '-')]);
      host.sync(log);
    }
    let last = 0;
    while (log.wal.counters.segmentsFreed === 0 && last < 3000) {
      step(log, busy, ++last, 16_000, 4);
      host.sync(log);
    }
    expect(hints.length).toBeGreaterThanOrEqual(3);
    expect(hints.every((slots) => slots.includes(heavy))).toBe(true);
    expect(log.wal.counters.segmentsFreed).toBeGreaterThan(0);
    host.powerCut();
    const again = host.open(options);
    expect(lastIndexes(again)).toMatchObject({ 1: 12 });
    expect(payloadOf(host, again, 1, 12).slice(0, 3)).toBe('12-');
  });

  it('a group over its limit is told so until it compacts, and the others are not', () => {
    const host = new SimLogHost();
    const log = host.open({ groupBytesMax: 200_000 });
    const big = openGroup(log, 1);
    const other = openGroup(log, 2);
    let last = 0;
    while (!log.wal.isGroupFull(big) && last < 200) {
      append(log, big, ++last, ['x'.repeat(6000)]);
      log.wal.noteCommit(big, last);
      host.sync(log);
    }
    expect(log.wal.isGroupFull(big)).toBe(true);
    expect(log.wal.fullGroups).toBe(1);
    expect(log.wal.isGroupFull(other)).toBe(false);
    log.wal.layCompact(big, last - 2);
    expect(log.wal.fullGroups).toBe(0);
  });
});

describe('rewriting beside a group that changes', () => {
  it('WF57: what is truncated, compacted or removed while it is read is not laid again', () => {
    for (const change of ['truncate', 'compact', 'remove', 'overwrite'] as const) {
      for (const delayUs of [500, 3000, 20_000]) {
        const host = new SimLogHost(9);
        const log = host.open({ cacheBytes: 0 });
        const lag = openGroup(log, 1);
        const busy = openGroup(log, 2);
        for (let index = 1; index <= 6; index++) append(log, lag, index, [`old ${index}`]);
        log.wal.noteCommit(lag, 3);
        host.sync(log);
        // Reads of the first segment take long: the change comes between reading and laying.
        const reads = host.disk.plan({
          op: 'read',
          path: segmentPath(1),
          times: 1000,
          effect: { kind: 'delay', delayUs },
        });
        let last = 0;
        let isChanged = false;
        while (log.wal.counters.segmentsFreed === 0 && last < 400) {
          step(log, busy, ++last, 3000, 4);
          log.wal.endTurn();
          for (let slice = 0; slice < 10; slice++) {
            host.runMs(0.1);
            if (isChanged || reads.matches === 0) continue;
            isChanged = true;
            expect(log.wal.counters.rewrittenBytes).toBe(0);
            if (change === 'truncate') log.wal.layTruncate(lag, 5);
            else if (change === 'compact') log.wal.layCompact(lag, 2);
            else if (change === 'remove') log.wal.removeGroup(lag);
            else append(log, lag, 5, ['new 5']);
          }
        }
        expect(isChanged).toBe(true);
        expect(log.wal.counters.segmentsFreed).toBeGreaterThan(0);
        const before = log.wal.recoveredGroups()[0];
        host.sync(log);
        host.kill();
        const again = host.open();
        const after = again.wal.recoveredGroups()[0];
        expect(after).toMatchObject({
          firstIndex: before?.firstIndex,
          lastIndex: before?.lastIndex,
          isRemoved: before?.isRemoved,
        });
        const texts: string[] = [];
        for (let index = after?.firstIndex ?? 1; index <= (after?.lastIndex ?? 0); index++) {
          texts.push(payloadOf(host, again, 1, index));
        }
        const old = [1, 2, 3, 4, 5, 6].map((i) => `old ${i}`);
        const expected = {
          truncate: old.slice(0, 4),
          compact: old.slice(2),
          remove: [],
          overwrite: [...old.slice(0, 4), 'new 5'],
        };
        expect(texts).toEqual(expected[change]);
      }
    }
  });

  it('a damaged entry that was to be rewritten concerns its group alone', () => {
    const damaged: { slot: number; error: FlotillaError }[] = [];
    const host = new SimLogHost();
    const log = openWith(
      host,
      { cacheBytes: 0 },
      { onGroupDamaged: (slot, error) => damaged.push({ slot, error }) },
    );
    const sick = openGroup(log, 1);
    const well = openGroup(log, 2);
    const busy = openGroup(log, 3);
    append(log, sick, 1, ['s'.repeat(500)]);
    append(log, well, 1, ['w'.repeat(500)]);
    host.sync(log);
    let last = 0;
    const bytes = host.disk.surgery.read(segmentPath(1));
    const at = Buffer.from(bytes).indexOf('ssss');
    host.disk.surgery.flipBit(segmentPath(1), at * 8);
    while (log.wal.counters.rotations < 3) {
      step(log, busy, ++last, 3000, 4);
      host.sync(log);
    }
    expect(damaged.length).toBeGreaterThan(0);
    expect(damaged.every(({ slot }) => slot === sick)).toBe(true);
    expect(damaged[0]?.error).toMatchObject({ code: 'WAL_ENTRY_CORRUPT', details: { groupId: 1 } });
    expect(log.poison).toEqual([]);
    expect(payloadOf(host, log, 2, 1)).toBe('w'.repeat(500));
    // The segment stays until the group is given up.
    expect(segmentIds(host)[0]).toBe(1);
    log.wal.removeGroup(sick);
    host.sync(log);
    host.runMs(30_000);
    expect(segmentIds(host)[0]).toBeGreaterThan(1);
  });
});

describe('removed groups', () => {
  it('WF59: a group that is removed and begun again has none of its old entries, and the others keep theirs', () => {
    const host = new SimLogHost();
    const log = host.open();
    const slot = openGroup(log, 1, 7);
    const other = openGroup(log, 2);
    append(log, slot, 1, ['old 1', 'old 2', 'old 3']);
    append(log, other, 1, ['kept']);
    log.wal.layHardState(slot, 9, { nodeId: 3, generation: 1, instance: 5 }, 1);
    host.sync(log);
    log.wal.removeGroup(slot);
    host.sync(log);
    expect(() => append(log, slot, 4, ['x'])).toThrow(RangeError);
    expect(() => log.wal.openGroup(1, 1, 1, new Uint8Array(0))).toThrow(/removed as generation 1/);
    host.kill();

    const second = host.open();
    expect(second.wal.recoveredGroups()[0]).toMatchObject({
      isRemoved: true,
      generation: 1,
      term: 9,
      vote: { nodeId: 3, generation: 1, instance: 5 },
      lastIndex: 0,
    });
    const begun = second.wal.openGroup(1, 2, 1, new Uint8Array([1]));
    append(second, begun, 1, ['new 1'], 9);
    host.sync(second);
    // The tombstone's segment goes; term and vote stand in the group's first record.
    let last = 0;
    const busy = openGroup(second, 3);
    while (second.wal.counters.segmentsFreed < 2) {
      step(second, busy, ++last, 3000, 4);
      host.sync(second);
    }
    host.powerCut();
    const third = host.open();
    expect(third.wal.recoveredGroups()[0]).toMatchObject({
      isRemoved: false,
      generation: 2,
      term: 9,
      vote: { nodeId: 3, generation: 1, instance: 5 },
      lastIndex: 1,
    });
    expect(payloadOf(host, third, 1, 1)).toBe('new 1');
    expect(payloadOf(host, third, 2, 1)).toBe('kept');
  });

  it('WF59: a tombstone outlives the segments it was laid in', () => {
    const { host, log, idle, busy, last } = withIdleGroup(1);
    log.wal.removeGroup(idle);
    let index = last;
    while (log.wal.counters.segmentsFreed < 4) {
      step(log, busy, ++index, 3000, 4);
      host.sync(log);
      host.runMs(5);
    }
    host.powerCut();
    const found = host.open().wal.recoveredGroups()[0];
    expect(found).toMatchObject({ groupId: 1, isRemoved: true, generation: 1, term: 100 });
  });
});

describe('a file that is used again', () => {
  it('WF61: is never one that a checkpoint has a link to', () => {
    const { host, log, busy, last } = withIdleGroup(0);
    host.disk.surgery.putDirectory('/data/copy');
    let isLinked = false;
    host.life.disk.link(segmentPath(1), `/data/copy/${segmentName(1)}`, (error) => {
      expect(error).toBeNull();
      isLinked = true;
    });
    host.run(() => isLinked);
    const copy = `/data/copy/${segmentName(1)}`;
    let index = last;
    let sealed: Uint8Array | null = null;
    while (log.wal.counters.segmentsFreed < 3) {
      step(log, busy, ++index, 3000, 4);
      host.sync(log);
      host.runMs(5);
      if (sealed === null && log.wal.counters.rotations === 1)
        sealed = host.disk.surgery.read(copy);
    }
    expect(segmentIds(host)).not.toContain(1);
    expect(host.disk.surgery.read(copy)).toEqual(sealed);
    expect(log.wal.counters.segmentsRecycled).toBe(log.wal.counters.segmentsFreed - 1);
  });

  it('WF36: is removed where even the page that clears it finds no space, and nothing is poisoned', () => {
    for (const code of ['ENOSPC', 'EDQUOT']) {
      const { host, log, busy, last } = withIdleGroup(1, { cacheBytes: 0 });
      host.disk.plan({
        op: 'writev',
        path: (path) => path === segmentPath(segmentIds(host)[0] as number),
        times: 1,
        effect: { kind: 'error', code },
      });
      let index = last;
      while (log.wal.counters.segmentsFreed < 2 && log.poison.length === 0) {
        step(log, busy, ++index, 3000, 4);
        host.sync(log);
        host.runMs(5);
      }
      expect(log.poison).toEqual([]);
      expect(log.wal.counters.segmentsRecycled).toBe(log.wal.counters.segmentsFreed - 1);
      host.powerCut();
      expect(lastIndexes(host.open())).toEqual({ 1: 3, 2: index });
    }
  });

  it('is none on a file system that never writes in place', () => {
    const host = new SimLogHost();
    host.disk.volumeType = 0x9123_683e;
    const log = host.open();
    const busy = openGroup(log, 1);
    for (let last = 1; log.wal.counters.segmentsFreed < 3; last++) {
      step(log, busy, last, 3000, 4);
      host.sync(log);
      host.runMs(5);
    }
    expect(log.wal.counters.segmentsRecycled).toBe(0);
  });
});

describe('a full disk', () => {
  /** Fills the disk while entries are taken, as a host would: none while the log says that it is full. */
  function filled(code: string): { host: SimLogHost; log: SimLog; slot: number; last: number } {
    const host = new SimLogHost();
    const log = host.open();
    const slot = openGroup(log, 1);
    host.sync(log);
    host.runMs(2000);
    expect(host.disk.surgery.exists(`${directory}/reserve.seg`)).toBe(true);
    host.disk.plan({
      op: 'open',
      path: (path) => /spare-/.test(path) && !host.disk.surgery.exists(path),
      times: 1e9,
      effect: { kind: 'error', code },
    });
    let last = 0;
    while (!log.wal.isFull && last < 500) {
      append(log, slot, ++last, ['x'.repeat(3000)]);
      log.wal.noteCommit(slot, last);
      host.sync(log);
      host.runMs(5);
    }
    return { host, log, slot, last };
  }

  it('WF37: no space for a spare uses the reserve; hard states go on, entries are refused, and all resumes', () => {
    for (const code of ['ENOSPC', 'EDQUOT']) {
      const { host, log, slot, last } = filled(code);
      expect(log.wal.isOutOfSpace).toBe(true);
      expect(log.wal.isFull).toBe(true);
      // Hard states for more than what is left of the active segment: they need the reserve.
      for (let term = 101; log.wal.counters.rotations < 2 && term < 1000; term++) {
        log.wal.layHardState(slot, term, noVote, last);
        host.sync(log);
      }
      expect(log.wal.counters.rotations).toBe(2);
      expect(host.disk.surgery.exists(`${directory}/reserve.seg`)).toBe(false);
      expect(log.poison).toEqual([]);
      expect(payloadOf(host, log, 1, 1)).toBe('x'.repeat(3000));
      host.disk.clearFaults();
      host.run(() => !log.wal.isFull);
      expect(host.disk.surgery.exists(`${directory}/reserve.seg`)).toBe(true);
      append(log, slot, last + 1, ['again']);
      host.sync(log);
      host.powerCut();
      expect(lastIndexes(host.open())).toEqual({ 1: last + 1 });
    }
  });

  it('WF38: with the reserve gone too nothing is acknowledged, nothing is poisoned, and a compaction frees space', () => {
    const { host, log, slot, last } = filled('ENOSPC');
    // Space that was freed is taken in although no new file can be filled.
    log.wal.layCompact(slot, last - 1);
    host.sync(log);
    let term = 101;
    while (log.wal.counters.segmentsFreed === 0 && term < 400) {
      log.wal.layHardState(slot, term++, noVote, last);
      log.wal.endTurn();
      host.runMs(50);
    }
    expect(log.wal.counters.segmentsFreed).toBeGreaterThan(0);
    const position = log.wal.endTurn();
    host.run(() => log.wal.durablePosition >= position);
    expect(log.wal.durablePosition).toBeGreaterThanOrEqual(position);
    expect(log.poison).toEqual([]);

    // And where nothing can be freed: what was laid waits, unacknowledged, until there is space.
    const stuck = filled('ENOSPC');
    let waiting = 0;
    for (let next = 101; waiting === 0 && next < 3000; next++) {
      stuck.log.wal.layHardState(stuck.slot, next, noVote, stuck.last);
      const laid = stuck.log.wal.endTurn();
      stuck.host.runMs(60);
      if (stuck.log.wal.durablePosition < laid) waiting = laid;
    }
    expect(waiting).toBeGreaterThan(0);
    stuck.host.runMs(5000);
    expect(stuck.log.wal.durablePosition).toBeLessThan(waiting);
    expect(stuck.log.poison).toEqual([]);
    stuck.host.disk.clearFaults();
    stuck.host.run(() => stuck.log.wal.durablePosition >= waiting);
    expect(stuck.log.wal.durablePosition).toBeGreaterThanOrEqual(waiting);
    stuck.host.run(() => !stuck.log.wal.isFull);
    expect(stuck.host.close(stuck.log)).toBeNull();
  });
});

/** Gives the batch at `header` of a segment, and all behind it to the end of the log, checksums and a chain that hold. */
function resealFrom(host: SimLogHost, firstSegId: number, header: number): void {
  let chain: number | null = null;
  let at = header;
  for (let segId = firstSegId; host.disk.surgery.exists(segmentPath(segId)); segId++) {
    const bytes = host.disk.surgery.read(segmentPath(segId));
    if (chain !== null) {
      putU32(bytes, 88, chain);
      putU32(bytes, 124, crc32(bytes, 0, 124));
    }
    const salt = u32At(bytes, 40);
    while (
      at < bytes.length &&
      u32At(bytes, at) === 0x4257_4c46 &&
      u32At(bytes, at + 24) === salt
    ) {
      if (chain !== null) putU32(bytes, at + 48, chain);
      chain = crc32(bytes, at, at + 60);
      putU32(bytes, at + 60, chain);
      at += Math.ceil((64 + u32At(bytes, at + 32)) / 4096) * 4096;
    }
    host.disk.surgery.putFile(segmentPath(segId), bytes);
    at = 4096;
  }
}

function openWith(
  host: SimLogHost,
  options: Partial<WalOptions>,
  events: {
    readonly onCompactHint?: (slots: readonly number[]) => void;
    readonly onGroupDamaged?: (slot: number, error: FlotillaError) => void;
  },
): SimLog {
  let answer: SimLog | null = null;
  const durable: number[] = [];
  const poison: FlotillaError[] = [];
  openWal(
    host.life,
    { ...small, directory, create: true, instance: 77, ...options },
    {
      onDurable: (position) => durable.push(position),
      onPoisoned: (error) => poison.push(error),
      ...events,
    },
    (error, wal) => {
      if (error !== null) throw error;
      answer = { wal, durable, poison };
    },
  );
  host.run(() => answer !== null);
  return answer as unknown as SimLog;
}
