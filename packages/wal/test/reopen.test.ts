import * as fs from 'node:fs';
import * as path from 'node:path';
import { describe, expect, it } from 'vitest';
import { createLog, noVote, openLog, tempDir } from './harness.ts';

describe('a log that is opened again', () => {
  it('has every group, hard state and entry after a clean close, in the same segment', async () => {
    const directory = tempDir();
    const first = await createLog(directory);
    const a = first.group(5, 3);
    const b = first.group(2, 3);
    for (let index = 1; index <= 40; index++) {
      first.append(a, index, [`a${index} ${'x'.repeat(5000)}`], 1 + Math.floor(index / 20));
      first.append(b, index, [`b${index}`], 2);
      if (index % 3 === 0) await first.sync();
    }
    first.wal.layHardState(a, 4, { nodeId: 2, generation: 1, instance: 99 }, 30);
    first.wal.noteCommit(b, 17);
    const { rotations } = first.wal.counters;
    expect(rotations).toBeGreaterThan(0);
    await first.close();

    const second = await openLog({ directory });
    expect(second.wal.report.verdict).toBe('clean');
    expect(second.wal.epoch).toBe(2);
    expect(second.wal.instance).toBe(77);
    const [groupB, groupA] = second.wal.recoveredGroups();
    expect(groupB).toMatchObject({
      groupId: 2,
      generation: 1,
      replicaId: 20,
      commit: 17,
      lastIndex: 40,
      term: 3,
    });
    expect(groupA).toMatchObject({
      groupId: 5,
      term: 4,
      vote: { nodeId: 2, generation: 1, instance: 99 },
      commit: 30,
      firstIndex: 1,
      lastIndex: 40,
      termEnds: [
        { term: 1, lastIndex: 19 },
        { term: 2, lastIndex: 39 },
        { term: 3, lastIndex: 40 },
      ],
    });
    expect(new TextDecoder().decode(groupA?.config)).toBe('config of 5');
    expect(await second.payload(groupA?.slot as number, 40)).toMatch(/^a40 x/);
    expect(await second.payload(groupB?.slot as number, 1)).toBe('b1');
    expect(second.wal.counters.readsFromDisk).toBe(2);

    second.append(groupB?.slot as number, 41, ['after'], 2);
    await second.sync();
    await second.close();
    const third = await openLog({ directory });
    expect(third.wal.report.verdict).toBe('clean');
    expect(await third.payload(third.wal.recoveredGroups()[0]?.slot as number, 41)).toBe('after');
    await third.close();
  });

  it('keeps a suffix that was overwritten or truncated gone', async () => {
    const directory = tempDir();
    const first = await createLog(directory);
    const slot = first.group(1, 9);
    first.append(slot, 1, ['1', '2', '3', '4', '5', '6']);
    first.append(slot, 4, ['four'], 2);
    expect(first.wal.recoveredGroups()[0]?.lastIndex).toBe(4);
    first.append(slot, 5, ['five', 'six'], 2);
    first.wal.layTruncate(slot, 6);
    await first.close();
    const second = await openLog({ directory });
    expect(second.wal.recoveredGroups()[0]).toMatchObject({
      lastIndex: 5,
      termEnds: [
        { term: 1, lastIndex: 3 },
        { term: 2, lastIndex: 5 },
      ],
    });
    expect(await second.payload(0, 3)).toBe('3');
    expect(await second.payload(0, 4)).toBe('four');
    expect(await second.payload(0, 5)).toBe('five');
    expect(() => second.wal.lookup(0, 6, {} as never)).toThrow(RangeError);
    await second.close();
  });

  it('refuses another instance and an absent store', async () => {
    const directory = tempDir();
    await expect(openLog({ directory })).rejects.toMatchObject({ code: 'WAL_ABSENT' });
    const log = await createLog(directory);
    log.group(1);
    log.wal.layHardState(0, 2, noVote, 0);
    await log.close();
    await expect(openLog({ directory, instance: 5 })).rejects.toMatchObject({
      code: 'IDENTITY_MISMATCH',
    });
    await (await openLog({ directory, instance: 77 })).close();
  });

  it('WF50: is locked on a real disk as long as it is open, and LOCK names the epoch', async () => {
    const directory = tempDir();
    const log = await createLog(directory);
    await expect(openLog({ directory })).rejects.toMatchObject({ code: 'WAL_LOCKED' });
    const note = JSON.parse(fs.readFileSync(path.join(directory, 'LOCK'), 'utf8'));
    expect(note).toMatchObject({ epoch: 1, instance: 77 });
    await log.close();
    const again = await openLog({ directory });
    expect(again.wal.epoch).toBe(2);
    await again.close();
  });

  it('WF50: is created where an opener without flock(1) was killed and left its files beside the lock', async () => {
    const directory = tempDir();
    fs.mkdirSync(directory);
    for (const name of ['LOCK', 'LOCK.pid', 'LOCK.pid.77', 'LOCK.pid.dead.78']) {
      fs.writeFileSync(path.join(directory, name), '');
    }
    const infos: string[] = [];
    await (await createLog(directory)).close();
    await (await openLog({ directory, onInfo: (line) => infos.push(line) })).close();
    expect(infos).toEqual([]);
  });

  it('refuses options that cannot work, all problems at once', async () => {
    const options = { directory: tempDir(), create: true, instance: 1 };
    const refusal = openLog({ ...options, segmentBytes: 64 * 1024, entryBytesMax: 0 });
    await expect(refusal).rejects.toMatchObject({ code: 'CONFIG_INVALID' });
    const error = await refusal.catch((reason) => reason);
    expect(error.details.problems.length).toBeGreaterThan(1);
  });
});
