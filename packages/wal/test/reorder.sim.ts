// What a disk may do with operations that were not synced when the power went: keep those up to any one of them, or all but
// any one. One script of a log (creation, several groups in a batch, conflicting entries, rotations, giving up, cleaning,
// a tombstone) is stopped at each of its disk operations and then cut in each of these ways.

import { crashAfterOrder, crashWithout, type CrashPolicy, loseEverything } from '@flotilla/testkit';
import { describe, expect, it } from 'vitest';
import { payloadIn } from './harness.ts';
import { append, openGroup, SimLogHost, type SimLog, withEntriesOnly } from './sim-harness.ts';

/** What a log holds: the payloads of each group, or `gone` for a tombstone. */
type Image = Readonly<Record<number, readonly string[] | 'gone'>>;

/** A state the stream went through, and where it ended then. */
interface Moment {
  readonly position: number;
  readonly image: Image;
}

interface Script {
  readonly moments: Moment[];
  /** How many of the moments were acknowledged. */
  readonly acked: number;
  readonly log: SimLog | null;
}

/** Runs the script until the disk stops (or to its end). */
function runScript(host: SimLogHost): Script {
  const moments: Moment[] = [{ position: 0, image: {} }];
  let acked = 0;
  const image: Record<number, readonly string[] | 'gone'> = {};
  let log: SimLog;
  try {
    log = host.open();
  } catch (error) {
    if (!host.disk.isStopped) throw error;
    return { moments, acked, log: null };
  }
  const note = (): void => {
    moments.push({ position: log.wal.position, image: { ...image } });
  };
  const turn = (): void => {
    log.wal.endTurn();
    host.runMs(20);
    const durable = log.wal.durablePosition;
    acked = moments.findLastIndex((moment) => moment.position <= durable);
  };
  const slots = new Map<number, number>();
  for (const groupId of [1, 2, 3]) {
    slots.set(groupId, log.wal.openGroup(groupId, 1, groupId, new Uint8Array(8)));
    image[groupId] = [];
    note();
    log.wal.layHardState(slots.get(groupId) as number, 9, noVote, 0);
  }
  const lay = (groupId: number, first: number, texts: readonly string[]): void => {
    append(log, slots.get(groupId) as number, first, texts, 2);
    image[groupId] = [...(image[groupId] as readonly string[]).slice(0, first - 1), ...texts];
    note();
  };
  lay(1, 1, ['a1', 'a2', 'a3', 'a4', 'a5']);
  turn();
  // A conflict that leaves less than there was, in a batch with other groups.
  lay(2, 1, ['b1']);
  lay(1, 3, ['A3']);
  turn();
  log.wal.removeGroup(slots.get(2) as number);
  image[2] = 'gone';
  note();
  turn();
  // Bursts over several rotations; what the first segments hold is written again or compacted, and they are used again.
  const big = 'x'.repeat(9000);
  const kept = 4;
  for (let index = 1; log.wal.counters.segmentsRecycled < 2 && index < 90; index++) {
    if (host.disk.isStopped) break;
    const before = image[3] as readonly string[];
    append(log, slots.get(3) as number, index, [`c${index}${big}`], 2);
    image[3] = [...before, `c${index}${big}`];
    note();
    if (index % 7 === 0) lay(1, index / 7 + 3, [`A${index / 7 + 3}`]);
    log.wal.noteCommit(slots.get(3) as number, index);
    if (index % kept === 0 && index > kept) {
      log.wal.layCompact(slots.get(3) as number, index - kept);
      image[3] = (image[3] as readonly string[]).slice(-kept);
      note();
    }
    turn();
  }
  return { moments, acked, log };
}

const noVote = { nodeId: 0, generation: 0, instance: 0 };

function imageOf(host: SimLogHost, log: SimLog): Image {
  const image: Record<number, readonly string[] | 'gone'> = {};
  for (const group of log.wal.recoveredGroups()) {
    const texts: string[] = [];
    for (let index = group.firstIndex; index <= group.lastIndex; index++) {
      let text: string | null = null;
      log.wal.load(group.slot, index, (error, ref) => {
        if (error !== null) throw error;
        text = payloadIn(ref, index);
      });
      host.run(() => text !== null);
      texts.push(text as unknown as string);
    }
    image[group.groupId] = group.isRemoved ? 'gone' : texts;
  }
  return image;
}

/** Stops the script at its n-th operation, cuts as told, and holds what opens against the moments. False behind its end. */
function cut(n: number, choose: (host: SimLogHost) => CrashPolicy): boolean {
  const host = new SimLogHost(5);
  host.start();
  host.disk.crashAfter(n);
  const { moments, acked } = runScript(host);
  if (!host.disk.isStopped) return false;
  host.powerCut(choose(host));
  const log = host.open();
  const found = JSON.stringify(imageOf(host, log));
  const allowed = moments.slice(acked).map((moment) => JSON.stringify(moment.image));
  expect(allowed.includes(found), `operation ${n}, ${acked} acked: ${found.slice(0, 300)}`).toBe(
    true,
  );
  return true;
}

describe('what was not synced when the power went', () => {
  it('WF29: a segment is given up only once what made it unneeded is durable', () => {
    const cutWith = (n: number, choose: (host: SimLogHost) => CrashPolicy): boolean => {
      const { host, log, last, sealed } = withEntriesOnly();
      host.disk.crashAfter(n);
      // The compaction stands in a batch that waits for the one before it.
      append(log, 0, last + 1, ['on its way']);
      log.wal.endTurn();
      log.wal.layCompact(0, sealed);
      log.wal.endTurn();
      host.runMs(200);
      if (!host.disk.isStopped) {
        expect(log.wal.counters.segmentsFreed).toBe(2);
        return false;
      }
      host.powerCut(choose(host));
      const again = host.open();
      const texts = imageOf(host, again)[1] as readonly string[];
      const { lastIndex } = again.wal.recoveredGroups()[0] as { lastIndex: number };
      expect([last, last + 1]).toContain(lastIndex);
      expect(texts.length).toBeGreaterThanOrEqual(lastIndex - sealed);
      return true;
    };
    let n = 1;
    for (; ; n++) {
      let orders: readonly number[] = [];
      const isThere = cutWith(n, (host) => {
        orders = host.disk.pendingOrders().map(({ order }) => order);
        return loseEverything;
      });
      if (!isThere) break;
      for (const order of orders) {
        for (const policy of [crashAfterOrder, crashWithout]) cutWith(n, () => policy(order));
      }
    }
    expect(n).toBeGreaterThan(8);
  });

  it('WF29: any prefix of it, and all but any one of it, leaves a log that holds all that was acknowledged', () => {
    // The script is worth something only if it comes to giving segments up and to writing again what they hold.
    const { log } = runScript(new SimLogHost(5));
    const { segmentsRecycled, restatedGroups, rewrittenBytes } = (log as SimLog).wal.counters;
    expect(segmentsRecycled).toBe(2);
    expect(restatedGroups).toBeGreaterThan(1);
    expect(rewrittenBytes).toBeGreaterThan(0);
    let cuts = 0;
    for (let n = 1; ; n++) {
      let pending = 0;
      const isThere = cut(n, (host) => {
        pending = host.disk.pendingOrders().length;
        return loseEverything;
      });
      if (!isThere) break;
      cuts++;
      for (let i = 0; i < pending; i++) {
        for (const policy of [crashAfterOrder, crashWithout]) {
          cut(n, (host) => policy(host.disk.pendingOrders()[i]?.order ?? 0));
          cuts++;
        }
      }
    }
    expect(cuts).toBeGreaterThan(800);
  }, 600_000);

  it('WF56: a conflicting, shorter run of entries is there as a whole or not at all, wherever the power goes', () => {
    const host = new SimLogHost(3);
    const first = host.open();
    const slot = openGroup(first, 1);
    append(first, slot, 1, ['old 1', 'old 2', 'old 3', 'old 4', 'old 5']);
    host.sync(first);
    host.close(first);
    const seen = new Set<string>();
    for (let n = 1; n < 60; n++) {
      for (const seed of [1, 2, 3]) {
        const fork = host.fork(n * 10 + seed);
        const log = fork.open();
        fork.disk.crashAfter(n);
        append(log, 0, 3, ['new 3'], 2);
        const position = log.wal.endTurn();
        fork.runMs(30);
        const isAcked = log.wal.durablePosition >= position;
        fork.powerCut();
        const again = fork.open();
        const found = imageOf(fork, again)[1] as readonly string[];
        const text = found.join();
        seen.add(text);
        if (isAcked) expect(text).toBe('old 1,old 2,new 3');
        else expect(['old 1,old 2,new 3', 'old 1,old 2,old 3,old 4,old 5']).toContain(text);
      }
    }
    expect(seen.size).toBe(2);
  });

  it('WF60: a power cut in a burst of many groups over a rotation keeps every group that was acknowledged', () => {
    let rotations = 0;
    // Turns whose records stand in two segments.
    let divided = 0;
    for (let n = 1; n < 120; n++) {
      const host = new SimLogHost(n);
      const log = host.open();
      const slots = Array.from({ length: 20 }, (_, i) => openGroup(log, i + 1));
      host.sync(log);
      const text = 'z'.repeat(1200);
      const acked = slots.map(() => 0);
      host.disk.crashAfter(n);
      for (let index = 1; index <= 12 && !host.disk.isStopped; index++) {
        const { batches } = log.wal.counters;
        for (const slot of slots) append(log, slot, index, [`${slot} ${index} ${text}`]);
        const position = log.wal.endTurn();
        host.runMs(30);
        if (log.wal.durablePosition >= position) acked.fill(index);
        if (log.wal.counters.batches === batches + 2) divided++;
      }
      rotations += log.wal.counters.rotations;
      host.powerCut();
      const image = imageOf(host, host.open());
      for (let i = 0; i < slots.length; i++) {
        const found = image[i + 1] as readonly string[];
        expect(found.length).toBeGreaterThanOrEqual(acked[i] as number);
        found.forEach((each, at) => expect(each).toBe(`${slots[i]} ${at + 1} ${text}`));
      }
    }
    expect(rotations).toBeGreaterThan(5);
    expect(divided).toBeGreaterThan(5);
  });
});
