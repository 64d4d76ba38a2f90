import type { FlotillaError } from '@flotilla/io';
import { type FaultEffect, loseEverything } from '@flotilla/testkit';
import { describe, expect, it } from 'vitest';
import { RecordRef } from '../src/api.ts';
import { segmentName } from '../src/format.ts';
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
  storeWith,
  withEntriesOnly,
} from './sim-harness.ts';

const error = (code: string): FaultEffect => ({ kind: 'error', code });

describe('a failure of the disk', () => {
  it('WF31: an fdatasync that fails once poisons: it is not tried again and nothing more is acknowledged', () => {
    const { host, log, slot } = started();
    const fault = host.disk.plan({
      op: 'datasync',
      path: segment(1),
      effect: { kind: 'syncError', code: 'EIO', pages: 'dropped' },
    });
    append(log, slot, 2, ['two']);
    host.sync(log);
    expect(fault.matches).toBe(1);
    expect(log.poison[0]?.details).toMatchObject({ segment: segmentName(1), seq: 2, code: 'EIO' });
    expectPoisoned(host, log, { 1: 1 });
    expect(fault.matches).toBe(1);

    // While a witness of the batch before it waits to be written.
    const busy = started();
    append(busy.log, busy.slot, 2, ['two']);
    busy.host.sync(busy.log);
    busy.host.disk.plan({
      op: 'datasync',
      path: segment(1),
      effect: { kind: 'syncError', code: 'EIO', pages: 'dropped' },
    });
    append(busy.log, busy.slot, 3, ['three']);
    busy.host.sync(busy.log);
    expectPoisoned(busy.host, busy.log, { 1: 2 });
  });

  it('WF32: a tail that only the page cache has is durable before anybody sees it again', () => {
    for (const pages of ['dropped', 'rolledBack'] as const) {
      const { host, log, slot } = started();
      host.disk.plan({
        op: 'datasync',
        path: segment(1),
        effect: { kind: 'syncError', code: 'EIO', pages },
      });
      append(log, slot, 2, ['two']);
      host.sync(log);
      host.kill();
      const again = host.open();
      expect(lastIndexes(again)).toEqual({ 1: pages === 'dropped' ? 2 : 1 });
      // The power goes right after: what the group was shown must still be there.
      host.powerCut(loseEverything);
      expect(lastIndexes(host.open())).toEqual({ 1: pages === 'dropped' ? 2 : 1 });
    }
  });

  it('WF33: a carry-over that fails leaves the old files as they were, and the next open comes to the same', () => {
    for (const op of ['writev', 'datasync', 'rename', 'syncDir', 'open'] as const) {
      const { host } = storeWith(4);
      const old = host.disk.surgery.read(segment(1));
      const store = host.disk.surgery.read(`${directory}/STORE`);
      const isNew = (path: string): boolean => path.includes('spare') || path === directory;
      host.disk.plan({ op, path: isNew, effect: error('EIO') });
      expect(host.refusal().code).toBe('IO_REFUSED');
      expect(host.disk.surgery.read(segment(1))).toEqual(old);
      expect(host.disk.surgery.read(`${directory}/STORE`)).toEqual(store);
      host.disk.clearFaults();
      const log = host.open();
      expect(log.wal.report).toMatchObject({ carriedBatches: 1, witnessedSeq: 3 });
      expect(lastIndexes(log)).toEqual({ 1: 3 });
    }
  });

  it('WF34: short writes go on until all bytes are written', () => {
    for (const bytes of [1, 4095, (asked: number): number => Math.max(1, asked - 1)]) {
      const { host, log, slot } = started();
      host.disk.plan({
        op: 'writev',
        path: segment(1),
        times: 5,
        effect: { kind: 'short', bytes },
      });
      append(log, slot, 2, ['two'.repeat(3000)]);
      host.sync(log);
      expect(log.poison).toEqual([]);
      host.powerCut(loseEverything);
      expect(lastIndexes(host.open())).toEqual({ 1: 2 });

      // So do those of STORE, of headers and of spares.
      for (const path of [/STORE$/, /spare-/]) {
        const other = started();
        const fault = other.host.disk.plan({
          op: 'writev',
          path,
          times: 5,
          effect: { kind: 'short', bytes },
        });
        let last = 1;
        while (other.log.wal.counters.rotations < 3 && last < 100) {
          append(other.log, other.slot, ++last, ['x'.repeat(7000)]);
          other.host.sync(other.log);
          other.host.runMs(20);
        }
        other.host.powerCut(loseEverything);
        expect(lastIndexes(other.host.open())).toEqual({ 1: last });
        expect(fault.hits).toBe(5);
      }
    }
  });

  it('WF35: a write that fails poisons', () => {
    for (const code of ['EIO', 'EBADF', 'EFBIG']) {
      for (const applied of ['none', 'part', 'all'] as const) {
        const { host, log, slot } = started();
        host.disk.plan({
          op: 'writev',
          path: segment(1),
          effect: { kind: 'error', code, applied },
        });
        append(log, slot, 2, ['two'.repeat(3000)]);
        host.sync(log);
        expect(log.poison[0]?.code).toBe('WAL_POISONED');
        expectPoisoned(host, log, { 1: 1 });
      }
    }
  });

  it('WF36: lack of space in the middle of a batch is waited out, and the batch is there once', () => {
    for (const code of ['ENOSPC', 'EDQUOT']) {
      for (const applied of ['none', 'part'] as const) {
        const { host, log, slot } = started();
        const fault = host.disk.plan({
          op: 'writev',
          path: segment(1),
          times: 4,
          effect: { kind: 'error', code, applied },
        });
        append(log, slot, 2, ['two'.repeat(3000)]);
        const position = log.wal.endTurn();
        append(log, slot, 3, ['three']);
        log.wal.endTurn();
        host.run(() => log.wal.durablePosition >= position);
        expect(log.poison).toEqual([]);
        expect(host.info.join('\n')).toContain(code);
        host.powerCut(loseEverything);
        const again = host.open();
        expect(lastIndexes(again)[1]).toBeGreaterThanOrEqual(2);
        host.close(again);
        expect(host.open().wal.report.verdict).toBe('clean');
        expect(fault.hits).toBe(4);
      }
    }
  });

  it('WF39: a directory that cannot be synced at a rotation poisons before anything in the new segment is acknowledged', () => {
    const { host, log, slot } = started();
    host.disk.plan({ op: 'syncDir', path: directory, effect: error('EIO') });
    let last = 1;
    while (log.poison.length === 0 && last < 100) {
      append(log, slot, last + 1, ['x'.repeat(7000)]);
      host.sync(log);
      if (log.poison.length === 0) last++;
    }
    expect(log.poison).toHaveLength(1);
    expect(log.wal.counters.rotations).toBe(0);
    host.powerCut();
    expect(lastIndexes(host.open())[1]).toBeGreaterThanOrEqual(last);
  });

  it('WF40: a STORE that cannot be written poisons, at a rotation, when a segment is given up, when idle, and at the end', () => {
    const rotating = started();
    rotating.host.disk.plan({ op: 'datasync', path: `${directory}/STORE`, effect: error('EIO') });
    for (let index = 2; rotating.log.poison.length === 0 && index < 100; index++) {
      append(rotating.log, rotating.slot, index, ['x'.repeat(7000)]);
      rotating.host.sync(rotating.log);
    }
    expect(rotating.log.wal.counters.rotations).toBe(0);

    const giving = withEntriesOnly();
    giving.host.disk.plan({ op: 'datasync', path: `${directory}/STORE`, effect: error('EIO') });
    giving.log.wal.layCompact(0, giving.sealed);
    giving.log.wal.endTurn();
    giving.host.run(() => giving.log.poison.length > 0);
    expect(giving.log.wal.counters.segmentsFreed).toBe(1);
    expect(giving.host.disk.surgery.exists(segment(2))).toBe(true);
    giving.host.powerCut(loseEverything);
    expect(lastIndexes(giving.host.open())).toEqual({ 1: giving.last });

    const idle = started();
    append(idle.log, idle.slot, 2, ['two']);
    idle.host.sync(idle.log);
    idle.host.disk.plan({ op: 'writev', path: `${directory}/STORE`, effect: error('EIO') });
    idle.host.runMs(300);
    expectPoisoned(idle.host, idle.log, { 1: 2 });

    const closing = started();
    closing.host.disk.plan({ op: 'writev', path: `${directory}/STORE`, effect: error('EIO') });
    expect(closing.host.close(closing.log)?.code).toBe('WAL_POISONED');
    expect(closing.host.open().wal.report.verdict).toBe('cleanEnd');
  });

  it('WF41: an entry that cannot be read fails that load alone', () => {
    const host = new SimLogHost();
    const log = host.open({ cacheBytes: 0 });
    const slot = openGroup(log, 1);
    for (let index = 1; index <= 30; index++) {
      append(log, slot, index, [`${index}`.padEnd(7000)]);
      host.sync(log);
    }
    const load = (index: number): string => {
      let answer = '';
      log.wal.load(slot, index, (failure, ref) => {
        answer = failure === null ? payloadIn(ref, index).trim() : failure.code;
      });
      host.run(() => answer !== '');
      return answer;
    };
    // What lies around an entry is read with it: first that read fails, then the one of the entry alone.
    host.disk.plan({ op: 'read', path: /seg$/, effect: error('EIO') });
    host.disk.plan({ op: 'read', path: /seg$/, effect: error('EIO') });
    expect(load(20)).toBe('WAL_READ_FAILED');
    host.disk.plan({ op: 'read', path: /seg$/, effect: error('EIO') });
    expect(load(20)).toBe('20');
    expect(load(19)).toBe('19');
    host.disk.surgery.flipBit(segment(1), 9000 * 8);
    const ref = new RecordRef();
    expect(log.wal.lookup(slot, 1, ref)).toBe(false);
    expect([load(1), load(2)]).toContain('WAL_ENTRY_CORRUPT');
    append(log, slot, 31, ['31']);
    host.sync(log);
    expect(log.poison).toEqual([]);
  });

  it('WF42: a read that fails during recovery refuses, and is not taken for a torn tail', () => {
    const { host } = storeWith(4, { payloadBytes: 9000 });
    let refused = 0;
    for (let after = 0; ; after++) {
      const copy = host.fork();
      const fault = copy.disk.plan({ op: 'read', path: /seg$/, after, effect: error('EIO') });
      const answer = copy.tryOpen();
      if (fault.hits === 0) {
        expect(lastIndexes(answer as SimLog)).toEqual({ 1: 3 });
        break;
      }
      expect(answer).toMatchObject({ code: 'IO_REFUSED', details: { reason: 'E_IO' } });
      refused++;
    }
    // The header, the batches, and what is carried over.
    expect(refused).toBeGreaterThanOrEqual(3);
  });

  it('a spare that finds no space is waited for, and isFull says so meanwhile', () => {
    const { host, log, slot } = started();
    host.disk.plan({ op: 'writev', path: /spare-0004/, times: 3, effect: error('ENOSPC') });
    let index = 2;
    for (; !log.wal.isFull && index < 100; index++) {
      append(log, slot, index, ['x'.repeat(7000)]);
      log.wal.endTurn();
      host.runMs(20);
    }
    expect(log.wal.isFull).toBe(true);
    const position = log.wal.endTurn();
    host.run(() => log.wal.durablePosition >= position);
    host.run(() => !log.wal.isFull);
    expect(log.poison).toEqual([]);
    host.close(log);
    expect(lastIndexes(host.open())).toEqual({ 1: index - 1 });
  });
});

describe('the end of the log', () => {
  /** Closes and stays in the same life: what the log held, lock included, must be free for the next opening. */
  function closed(host: SimLogHost, log: SimLog): FlotillaError | null {
    let outcome: FlotillaError | null | undefined;
    log.wal.close((failure) => {
      outcome = failure as FlotillaError | null;
    });
    host.run(() => outcome !== undefined);
    return outcome as FlotillaError | null;
  }

  it('WF70: a log that is closed on a full disk answers WAL_FULL, gives everything back, and keeps what was durable', () => {
    for (const full of [segment(1), /spare-0002/, /spare-(?!0002)/]) {
      // The batch, the header of the next segment (its file is ready), or the spare that the next segment needs.
      const { host, log, slot } = started();
      const fault = host.disk.plan({
        op: 'writev',
        path: full,
        times: 1e9,
        effect: { kind: 'error', code: 'ENOSPC', applied: 'part' },
      });
      let last = 1;
      let isDurable = true;
      for (; isDurable && last < 100; last += isDurable ? 1 : 0) {
        append(log, slot, last + 1, ['x'.repeat(7000)]);
        const position = log.wal.endTurn();
        host.runMs(500);
        isDurable = log.wal.durablePosition >= position;
      }
      expect(isDurable).toBe(false);
      expect(closed(host, log)).toMatchObject({ code: 'WAL_FULL', details: { code: 'ENOSPC' } });
      expect(log.poison).toEqual([]);
      const { matches } = fault;
      host.runMs(5000);
      expect(fault.matches).toBe(matches);
      host.disk.clearFaults();
      const again = host.open();
      expect(again.wal.report.verdict).not.toBe('clean');
      // Parts of the last batch were written: what nobody was told may be there or not.
      expect([last, last + 1]).toContain(lastIndexes(again)[1]);
    }
  });

  it('WF71: a log that is closed on a full disk and finds space at its last try ends in good order', () => {
    const { host, log, slot } = started();
    host.disk.plan({ op: 'writev', path: segment(1), times: 1e9, effect: error('ENOSPC') });
    append(log, slot, 2, ['two']);
    log.wal.endTurn();
    host.runMs(1000);
    host.disk.clearFaults();
    expect(closed(host, log)).toBeNull();
    const again = host.open();
    expect(again.wal.report.verdict).toBe('clean');
    expect(lastIndexes(again)).toEqual({ 1: 2 });
  });

  it('WF62: bytes that a caller changes after they were laid are not the log’s', () => {
    const host = new SimLogHost();
    const log = host.open();
    const config = new Uint8Array([1, 2, 3]);
    log.wal.openGroup(5, 1, 1, config);
    config.fill(9);
    expect(log.wal.recoveredGroups()[0]?.config).toEqual(new Uint8Array([1, 2, 3]));

    const slot = openGroup(log, 6);
    append(log, slot, 1, ['one', 'two']);
    log.wal.noteCommit(slot, 2);
    const compacted = new Uint8Array([4, 5]);
    log.wal.layCompact(slot, 1, compacted);
    compacted.fill(9);
    const id = new Uint8Array(16).fill(6);
    const sent = new Uint8Array([7]);
    const head = { index: 2, term: 1, bytes: 10, crc: 1 };
    log.wal.laySnapshot(slot, { ...head, id, config: sent }, false);
    sent.fill(9);
    id.fill(9);
    const check = (found: SimLog): void => {
      const [first, second] = found.wal.recoveredGroups();
      expect(first?.config).toEqual(new Uint8Array([1, 2, 3]));
      expect(second?.config).toEqual(new Uint8Array([4, 5]));
      expect(second?.snapshot?.config).toEqual(new Uint8Array([7]));
      expect(second?.snapshot?.id).toEqual(new Uint8Array(16).fill(6));
    };
    check(log);
    host.close(log);
    check(host.open());
  });

  it('says isFull before the last segment is used up', () => {
    const host = new SimLogHost();
    const log = host.open({ walBytesMax: 4 * 128 * 1024 });
    const slot = openGroup(log, 1);
    let index = 1;
    for (; !log.wal.isFull && index < 200; index++) {
      append(log, slot, index, ['x'.repeat(7000)]);
      host.sync(log);
    }
    expect(log.wal.walBytes).toBeLessThanOrEqual(4 * 128 * 1024);
    for (let i = 0; i < 100; i++)
      log.wal.layHardState(slot, 200 + i, { nodeId: 1, generation: 1, instance: 1 }, 0);
    host.sync(log);
    expect(log.poison).toEqual([]);
  });

  it('lays noted commits beside other data once a second, and all of them at close', () => {
    const { host, log, slot } = started();
    append(log, slot, 2, ['two']);
    host.sync(log);
    log.wal.noteCommit(slot, 1);
    append(log, slot, 3, ['three']);
    host.sync(log);
    host.runMs(1100);
    append(log, slot, 4, ['four']);
    host.sync(log);
    host.runMs(500);
    host.kill();
    const second = host.open();
    expect(second.wal.recoveredGroups()[0]?.commit).toBe(1);
    second.wal.noteCommit(slot, 4);
    host.close(second);
    expect(host.open().wal.recoveredGroups()[0]?.commit).toBe(4);
  });

  it('never lays a commit that points behind the entries laid so far', () => {
    const { host, log, slot } = started();
    log.wal.layHardState(slot, 300, { nodeId: 2, generation: 1, instance: 5 }, 3);
    host.sync(log);
    host.kill();
    const second = host.open();
    expect(second.wal.recoveredGroups()[0]).toMatchObject({ term: 300, commit: 1 });
    host.close(second);
  });
});
