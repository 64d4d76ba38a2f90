// Checkpoints: what the copy has, that neither log changes the other's bytes, and what a crash leaves of one.

import { crc32 } from '@flotilla/codec';
import { describe, expect, it } from 'vitest';
import type { FlotillaError } from '@flotilla/io';
import { type CheckpointManifest, decodeCheckpoint } from '../src/checkpoint-format.ts';
import { append, lastIndexes, openGroup, type SimLog, SimLogHost } from './sim-harness.ts';

const copy = '/data/copy';

function written(seed = 1): { host: SimLogHost; log: SimLog; slot: number; last: number } {
  const host = new SimLogHost(seed);
  const log = host.open();
  const slot = openGroup(log, 1);
  let last = 0;
  while (log.wal.counters.rotations < 3) {
    append(log, slot, ++last, [`${last}`.padEnd(5000, '.')]);
    host.sync(log);
  }
  return { host, log, slot, last };
}

function take(host: SimLogHost, log: SimLog): CheckpointManifest | FlotillaError {
  let answer: CheckpointManifest | FlotillaError | null = null;
  log.wal.checkpoint(copy, (error, manifest) => {
    answer = error ?? manifest;
  });
  host.run(() => answer !== null);
  return answer as unknown as CheckpointManifest | FlotillaError;
}

/** A checksum of each segment of the copy. */
function copied(host: SimLogHost): Record<string, number> {
  const names = host.disk.surgery.list(copy).filter((name) => /^[0-9a-f]{16}\.seg$/.test(name));
  return Object.fromEntries(
    names.map((name) => [name, crcOf(host.disk.surgery.read(`${copy}/${name}`))]),
  );
}

describe('a checkpoint', () => {
  it('has everything that was laid, under a new instance, while the log goes on', () => {
    const { host, log, slot, last } = written();
    append(log, slot, last + 1, ['laid, not durable yet']);
    log.wal.endTurn();
    const manifest = take(host, log) as CheckpointManifest;
    expect(manifest).toMatchObject({ sourceInstance: 77 });
    expect(manifest.instance).not.toBe(77);
    expect(decodeCheckpoint(host.disk.surgery.read(`${copy}/CHECKPOINT`))).toEqual(manifest);
    const before = copied(host);
    expect(Object.keys(before)).toHaveLength(manifest.segments.length);

    // The log goes on, compacts and gives its segments up; the copy keeps them as they were.
    let index = last + 1;
    while (log.wal.counters.segmentsFreed < manifest.segments.length) {
      append(log, slot, ++index, ['x'.repeat(5000)]);
      log.wal.noteCommit(slot, index);
      if (index % 8 === 0) log.wal.layCompact(slot, index - 4);
      host.sync(log);
      host.runMs(5);
    }
    expect(copied(host)).toEqual(before);
    expect(host.close(log)).toBeNull();

    const restored = host.open({ directory: copy, create: false, instance: manifest.instance });
    expect(restored.wal.report.verdict).toBe('clean');
    expect(lastIndexes(restored)).toEqual({ 1: last + 1 });
    expect(host.close(restored)).toBeNull();
    expect(lastIndexes(host.open())).toEqual({ 1: index });
  });

  it('that is opened where it stands leaves the files alone that it shares', () => {
    const { host, log, last } = written();
    const manifest = take(host, log) as CheckpointManifest;
    expect(host.close(log)).toBeNull();
    const before = copied(host);
    const restored = host.open({ directory: copy, create: false, instance: manifest.instance });
    const slot = restored.wal.recoveredGroups()[0]?.slot as number;
    append(restored, slot, last + 1, ['after the restore']);
    host.sync(restored);
    expect(copied(host)).toMatchObject(before);
    expect(host.close(restored)).toBeNull();
    expect(lastIndexes(host.open({ directory: copy, create: false, instance: 0 }))).toEqual({
      1: last + 1,
    });
    host.end();
    expect(lastIndexes(host.open())).toEqual({ 1: last });
  });

  it('that is under way when the log fails answers with that failure', () => {
    const { host, log } = written();
    host.disk.plan({
      op: 'datasync',
      times: 10,
      effect: { kind: 'syncError', code: 'EIO', pages: 'kept' },
    });
    expect(take(host, log)).toMatchObject({ code: 'WAL_POISONED' });
    expect(log.poison).toHaveLength(1);
  });

  it('is refused where the target holds something, and the log is none the worse', () => {
    const { host, log, slot, last } = written();
    host.disk.surgery.putDirectory(copy);
    host.disk.surgery.putFile(`${copy}/mine`, new Uint8Array(1));
    expect(take(host, log)).toMatchObject({ code: 'WAL_NOT_EMPTY' });
    append(log, slot, last + 1, ['goes on']);
    host.sync(log);
    expect(host.close(log)).toBeNull();
    expect(lastIndexes(host.open())).toEqual({ 1: last + 1 });
  });

  it('WF28: cut short at any disk operation is no store, or a whole one, and the log keeps all that was acknowledged', () => {
    let whole = 0;
    let none = 0;
    // What a power cut takes of the rename that makes it a store is drawn: some seeds keep it, some do not.
    for (let seed = 1; seed <= 12; seed++) {
      for (let stop = 1; stop < 60; stop++) {
        const { host, log, last } = written(seed);
        host.disk.crashAfter(stop);
        let isDone = false;
        log.wal.checkpoint(copy, () => {
          isDone = true;
        });
        host.runMs(1000);
        if (isDone) break;
        host.powerCut();
        expect(lastIndexes(host.open())).toEqual({ 1: last });
        host.end();
        if (!host.disk.surgery.exists(`${copy}/STORE`)) {
          none++;
          continue;
        }
        whole++;
        const opened = host.open({ directory: copy, create: false, instance: 0 });
        expect(lastIndexes(opened)).toEqual({ 1: last });
      }
    }
    expect(none).toBeGreaterThan(60);
    expect(whole).toBeGreaterThan(2);
  });
});

function crcOf(bytes: Uint8Array): number {
  return crc32(bytes, 0, bytes.length);
}
