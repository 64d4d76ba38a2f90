// A process dies between writing STORE and syncing it, and the next one reads from the page cache what the disk does not
// have. Here the slot says that the oldest segment is given up. The power goes at each step of the openings that follow,
// and takes what was written and not synced, but keeps the names that were removed: a file system commits those by itself.

import { type CrashPolicy, loseEverything } from '@flotilla/testkit';
import { describe, expect, it } from 'vitest';
import { decodeStoreSlot, pageBytes, type StoreSlot } from '../src/format.ts';
import { append, directory, lastIndexes, openGroup, SimLogHost } from './sim-harness.ts';

const storePath = `${directory}/STORE`;

/** Data that was not synced is lost, names are as they were last seen. */
const keepNames: CrashPolicy = { write: () => 'lost', name: () => true };

/** The newest slot of STORE, as the system shows it. */
function shownSlot(host: SimLogHost): StoreSlot {
  const bytes = host.disk.surgery.read(storePath);
  const slots = [0, pageBytes].map((at) => decodeStoreSlot(bytes, at));
  return slots.reduce((a, b) => ((b?.slotSeq ?? 0) > (a?.slotSeq ?? 0) ? b : a)) as StoreSlot;
}

function isStoreUnsynced(host: SimLogHost): boolean {
  return host.disk.pendingOrders().some(({ what, path }) => what === 'write' && path === storePath);
}

interface Scene {
  readonly host: SimLogHost;
  /** Last entry that was acknowledged, and the last one laid. */
  readonly acked: number;
  readonly last: number;
}

/** Writes and compacts until STORE is about to give up a segment; `end` sees to it that its sync is the last act. */
function untilGivingUp(seed: number, plan: (host: SimLogHost, oldestSeg: number) => void): Scene {
  const host = new SimLogHost(seed);
  const log = host.open();
  const slot = openGroup(log, 1);
  host.sync(log);
  let acked = 0;
  let last = 0;
  plan(host, shownSlot(host).oldestSeg);
  while (!host.disk.isStopped && log.poison.length === 0) {
    expect(last).toBeLessThan(200);
    append(log, slot, ++last, [`${last}`.padEnd(7000, '.')]);
    log.wal.noteCommit(slot, last);
    if (last % 8 === 0) log.wal.layCompact(slot, last - 2);
    const position = log.wal.endTurn();
    host.runMs(30);
    if (log.wal.durablePosition >= position) acked = last;
  }
  host.kill();
  return { host, acked, last };
}

/** The process is killed after it wrote to STORE that a segment is given up, before that is on the disk. */
function killedBeforeSync(): Scene {
  for (let seed = 1; seed < 20; seed++) {
    const scene = untilGivingUp(seed, (host, oldestSeg) =>
      host.disk.crashAfter(1, undefined, ({ op, path }) => {
        return op === 'datasync' && path === storePath && shownSlot(host).oldestSeg > oldestSeg;
      }),
    );
    // Else the sync got through in the moment of the kill.
    if (isStoreUnsynced(scene.host)) return scene;
  }
  throw new Error('no kill left STORE unsynced');
}

/** The sync of that slot fails; the page counts as clean from then on, and is seen, and is not on the disk. */
function killedAfterFailedSync(): Scene {
  return untilGivingUp(1, (host, oldestSeg) =>
    host.disk.plan({
      op: 'datasync',
      path: (path) => path === storePath && shownSlot(host).oldestSeg > oldestSeg,
      effect: { kind: 'syncError', code: 'EIO', pages: 'dropped' },
    }),
  );
}

function expectWhole({ host, acked, last }: Scene): void {
  const found = lastIndexes(host.open())[1] as number;
  expect(found).toBeGreaterThanOrEqual(acked);
  expect(found).toBeLessThanOrEqual(last);
}

describe('a slot of STORE that only the page cache has', () => {
  it('WF28: opens after a power cut in the recovery that removed the segment it gave up', () => {
    let removed = 0;
    for (const policy of [keepNames, loseEverything]) {
      for (let n = 1; ; n++) {
        const scene = killedBeforeSync();
        const { host } = scene;
        const { oldestSeg } = shownSlot(host);
        if (!host.stopsAt(n)) break;
        // A second process, that has less time: it finds names gone and the same STORE.
        host.kill();
        host.stopsAt(1 + (n % 5));
        const isGone = !host.disk.surgery
          .list(directory)
          .includes(`${(oldestSeg - 1).toString(16).padStart(16, '0')}.seg`);
        host.powerCut(policy);
        if (isGone) removed++;
        expectWhole(scene);
      }
    }
    expect(removed).toBeGreaterThan(10);
  });

  it('WF32: opens after such a cut also where the sync of the slot had failed and its page counts as clean', () => {
    let cuts = 0;
    for (const policy of [keepNames, loseEverything]) {
      for (let n = 1; ; n++) {
        const scene = killedAfterFailedSync();
        const { host } = scene;
        expect(isStoreUnsynced(host)).toBe(false);
        if (!host.stopsAt(n)) break;
        host.powerCut(policy);
        cuts++;
        expectWhole(scene);
      }
    }
    expect(cuts).toBeGreaterThan(40);
  });

  it('WF28: is on the disk before the other slot is overwritten, which the cut may leave as garbage', () => {
    let torn = 0;
    for (let n = 1; ; n++) {
      const scene = killedBeforeSync();
      const { host } = scene;
      if (!host.stopsAt(n)) break;
      const call = host.disk.callLog.at(-1);
      host.powerCut(keepNames);
      if (call?.op === 'writev' && call.path === storePath) {
        host.disk.surgery.overwrite(storePath, call.offset, new Uint8Array(pageBytes).fill(0xa5));
        torn++;
      }
      expectWhole(scene);
    }
    expect(torn).toBeGreaterThan(0);
  });
});
