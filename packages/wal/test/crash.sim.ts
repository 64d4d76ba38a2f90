// The log against a model, over power cuts, kills and disks that stop in the middle of any operation: what recovery
// shows is always a state that existed, at or behind the last one that was acknowledged.

import { randomCrash, SimRng } from '@flotilla/testkit';
import { describe, expect, it } from 'vitest';
import type { FlotillaError } from '@flotilla/io';
import { RecordRef, type RecoveredGroup, type SnapshotInfo } from '../src/api.ts';
import { layEntries, payloadIn } from './harness.ts';
import { SimLogHost, type SimLog } from './sim-harness.ts';

interface ModelGroup {
  readonly generation: number;
  /** A tombstone: generation, term and vote are all there is. */
  readonly isRemoved: boolean;
  readonly term: number;
  readonly voteNode: number;
  /** What was compacted, and the term of the last of it. */
  readonly compactedTo: number;
  readonly compactedTerm: number;
  readonly snapshotIndex: number;
  /** Committed at most, laid at least. */
  readonly commitNoted: number;
  readonly commitLaid: number;
  readonly entries: readonly { readonly term: number; readonly payload: string }[];
}

/** What a group was before a step; undoing from the end goes back in time. */
interface Change {
  readonly groupId: number;
  readonly before: ModelGroup | undefined;
}

/** The stream ended there when this many changes of the journal had been made. */
interface Moment {
  readonly position: number;
  readonly changes: number;
}

/** A group as recovered, with what it says of each entry. */
interface FoundGroup extends RecoveredGroup {
  /** Null = not looked at this time. */
  readonly payloads: readonly string[] | null;
}

function matches(expected: ModelGroup | undefined, group: FoundGroup | undefined): boolean {
  if (expected === undefined || group === undefined) return expected === group;
  if (expected.isRemoved !== group.isRemoved || expected.generation !== group.generation) {
    return false;
  }
  if (expected.term !== group.term || expected.voteNode !== group.vote.nodeId) return false;
  if (expected.isRemoved) return group.lastIndex < group.firstIndex;
  if (lastOf(expected) !== group.lastIndex) return false;
  if (expected.compactedTo !== group.firstIndex - 1) return false;
  if (expected.compactedTerm !== group.prevTerm) return false;
  if (expected.snapshotIndex !== (group.snapshot?.index ?? 0)) return false;
  if (group.commit < expected.commitLaid || group.commit > expected.commitNoted) return false;
  let first = group.firstIndex;
  for (const end of group.termEnds) {
    for (let index = first; index <= end.lastIndex; index++) {
      const at = index - group.firstIndex;
      const entry = expected.entries[at];
      if (entry?.term !== end.term) return false;
      if (group.payloads !== null && entry.payload !== group.payloads[at]) return false;
    }
    first = end.lastIndex + 1;
  }
  return first === group.lastIndex + 1;
}

function lastOf(group: ModelGroup): number {
  return group.compactedTo + group.entries.length;
}

function shown(group: FoundGroup | undefined): string {
  if (group === undefined) return 'absent';
  const { groupId, firstIndex, lastIndex, term, commit, isRemoved } = group;
  return JSON.stringify({ groupId, firstIndex, lastIndex, term, commit, isRemoved });
}

/** Live bytes over which groups are compacted. */
const liveBytesMax = 2_000_000;

const newGroup: ModelGroup = {
  generation: 1,
  isRemoved: false,
  term: 0,
  voteNode: 0,
  compactedTo: 0,
  compactedTerm: 0,
  snapshotIndex: 0,
  commitNoted: 0,
  commitLaid: 0,
  entries: [],
};

class Run {
  readonly host: SimLogHost;
  readonly rng: SimRng;
  log: SimLog | null = null;
  readonly model = new Map<number, ModelGroup>();
  /** Changes since what is acknowledged, oldest first, and the moments between them. */
  journal: Change[] = [];
  moments: Moment[] = [];
  steps = 0;
  slots = new Map<number, number>();
  carried = 0;
  torn = 0;
  freed = 0;
  rewritten = 0;
  readonly groupsMax: number;
  /** Batches go past the page cache, in most lives: what is drawn for that is drawn apart. */
  readonly isDirect: boolean;
  readonly directRng: SimRng;
  /** Batches that were written so, as far as a life shows: it did without syncs. */
  unsynced = 0;

  constructor(seed: number, groupsMax = 6) {
    this.groupsMax = groupsMax;
    this.host = new SimLogHost(seed);
    this.rng = new SimRng(seed, 'model');
    this.isDirect = seed % 3 === 0;
    this.directRng = new SimRng(seed, 'direct');
  }

  /** Opens, over crashes in the middle of opening, and checks what is found. */
  open(): void {
    for (let attempt = 0; ; attempt++) {
      const isInterrupted = attempt < 3 && this.rng.chance(0.5);
      if (isInterrupted) {
        this.host.start();
        this.host.disk.crashAfter(this.rng.between(1, 40));
      }
      const answer = this.tryOpen();
      if (answer !== null && !this.host.disk.isStopped) {
        if (answer instanceof Error) throw answer;
        this.host.disk.crashAfter(1e9);
        this.log = answer;
        break;
      }
      this.crash();
    }
    this.check(this.log as SimLog);
  }

  tryOpen(): SimLog | FlotillaError | null {
    const { directRng } = this;
    const { disk } = this.host;
    const isDirect = this.isDirect && directRng.chance(0.8);
    if (isDirect) {
      // It may be refused from the start or later, for good, and be cut short at any time.
      disk.hasDirect = directRng.chance(0.9);
      disk.clearFaults();
      if (directRng.chance(0.2)) {
        const after = directRng.below(60);
        const refused = { kind: 'error', code: 'EINVAL' } as const;
        disk.plan({ op: 'writev', path: this.isDirectFile, after, effect: refused });
      } else {
        // After a short write the rest may go through the cache, where a refusal would be a failure.
        const effect = { kind: 'short', bytes: (asked: number) => directRng.below(asked) } as const;
        disk.plan({ op: 'writev', path: /seg$/, times: 1e9, probability: 0.05, effect });
      }
    }
    try {
      return this.host.tryOpen({ syncMethod: isDirect ? 'direct' : 'fdatasync' });
    } catch (error) {
      if (this.host.disk.isStopped) return null;
      throw error;
    }
  }

  /** Only where it is open for writes past the page cache EINVAL is no failure. */
  readonly isDirectFile = (path: string): boolean =>
    this.host.disk.openFiles.some((file) => file.path === path && file.mode === 'writeDirect');

  check(log: SimLog): void {
    const touched = new Set(this.journal.map((change) => change.groupId));
    const found = new Map<number, FoundGroup>();
    const recovered = log.wal.recoveredGroups();
    for (const group of recovered) {
      const isRead = recovered.length < 20 || touched.has(group.groupId) || this.rng.chance(0.01);
      const payloads = isRead ? this.payloadsOf(log, group) : null;
      found.set(group.groupId, { ...group, payloads });
    }
    for (const groupId of new Set([...this.model.keys(), ...found.keys()])) {
      if (touched.has(groupId)) continue;
      if (matches(this.model.get(groupId), found.get(groupId))) continue;
      throw new Error(`group ${groupId} changed without a step: ${shown(found.get(groupId))}`);
    }
    // Back in time from the newest moment to the acknowledged one.
    const isMatch = (): boolean =>
      [...touched].every((groupId) => matches(this.model.get(groupId), found.get(groupId)));
    const ends = [0, ...this.moments.map((moment) => moment.changes)];
    let isFound = false;
    for (let i = ends.length - 1; i >= 0 && !isFound; i--) {
      this.undo(ends[i] as number);
      isFound = isMatch();
    }
    if (!isFound) {
      const text = [...touched].map((groupId) => shown(found.get(groupId))).join(' ');
      throw new Error(`a state that never existed, or was overtaken: ${text}`);
    }
    this.carried += log.wal.report.carriedBatches;
    if (log.wal.report.verdict === 'torn') this.torn++;
    this.slots = new Map(recovered.map((group) => [group.groupId, group.slot]));
    // What was noted only is as recovery found it.
    for (const [groupId, group] of found) {
      const expected = this.model.get(groupId) as ModelGroup;
      const commit = { commitNoted: group.commit, commitLaid: group.commit };
      this.model.set(groupId, { ...expected, ...commit });
    }
    this.journal = [];
    this.moments = [];
  }

  undo(changes: number): void {
    while (this.journal.length > changes) {
      const { groupId, before } = this.journal.pop() as Change;
      if (before === undefined) this.model.delete(groupId);
      else this.model.set(groupId, before);
    }
  }

  payloadsOf(log: SimLog, group: RecoveredGroup): string[] {
    const payloads: string[] = [];
    while (group.firstIndex + payloads.length <= group.lastIndex) {
      let ref: RecordRef | null = null;
      const next = group.firstIndex + payloads.length;
      log.wal.load(group.slot, next, (error, loaded) => {
        if (error !== null) throw error;
        ref = loaded;
      });
      this.host.run(() => ref !== null);
      const { lastIndex } = ref as unknown as RecordRef;
      for (let index = next; index <= lastIndex; index++) {
        payloads.push(payloadIn(ref as unknown as RecordRef, index));
      }
    }
    return payloads;
  }

  set(groupId: number, change: Partial<ModelGroup>): void {
    const before = this.model.get(groupId) ?? newGroup;
    this.journal.push({ groupId, before: this.model.get(groupId) });
    this.model.set(groupId, { ...before, ...change });
  }

  act(log: SimLog): void {
    const { rng } = this;
    if (log.wal.liveBytes > liveBytesMax) this.settle(log);
    const groupId = rng.between(1, this.groupsMax);
    const slot = this.slots.get(groupId);
    if (slot === undefined) {
      this.slots.set(
        groupId,
        log.wal.openGroup(groupId, 1, groupId, new Uint8Array(rng.below(40))),
      );
      this.set(groupId, {});
    } else {
      this.actOn(log, groupId, slot);
    }
    this.steps++;
    this.moments.push({ position: log.wal.position, changes: this.journal.length });
  }

  actOn(log: SimLog, groupId: number, slot: number): void {
    const { rng } = this;
    const group = this.model.get(groupId) as ModelGroup;
    const last = lastOf(group);
    const draw = rng.below(14);
    if (group.isRemoved) {
      const generation = group.generation + rng.between(1, 2);
      log.wal.openGroup(groupId, generation, groupId, new Uint8Array(rng.below(40)));
      const { term, voteNode } = group;
      this.set(groupId, { ...newGroup, generation, term, voteNode });
    } else if (draw >= 10) {
      this.shrink(log, groupId, slot, draw);
    } else if (draw === 0 || group.term === 0) {
      const term = group.term + rng.between(1, 2);
      const voteNode = rng.between(0, 3);
      const vote = { nodeId: voteNode, generation: voteNode > 0 ? 1 : 0, instance: voteNode };
      log.wal.layHardState(slot, term, vote, group.commitNoted);
      this.set(groupId, { term, voteNode, commitLaid: group.commitNoted });
    } else if (draw === 1 && last > group.commitNoted) {
      const commit = rng.between(group.commitNoted, last);
      log.wal.noteCommit(slot, commit);
      this.set(groupId, { commitNoted: commit });
    } else if (draw === 2 && last > group.commitNoted) {
      const from = rng.between(group.commitNoted + 1, last);
      log.wal.layTruncate(slot, from);
      this.set(groupId, { entries: this.below(group, from) });
    } else {
      const isConflict = draw === 3 && last > group.commitNoted;
      const first = isConflict ? rng.between(group.commitNoted + 1, last) : last + 1;
      const least = Math.max(1, this.termAt(group, first - 1));
      const term = rng.between(least, group.term);
      const size = rng.chance(0.03) ? 30_000 : rng.logBetween(1, 6000);
      const count = size === 30_000 ? 1 : rng.between(1, 4);
      const payloads = Array.from({ length: count }, (_, i) =>
        `${groupId}/${first + i}/${rng.u32()}`.padEnd(size, '-'),
      );
      layEntries(log.wal, slot, first, payloads, term);
      const added = payloads.map((payload) => ({ term, payload }));
      this.set(groupId, { entries: [...this.below(group, first), ...added] });
      const ref = new RecordRef();
      expect(log.wal.lookup(slot, first, ref)).toBe(true);
      expect(payloadIn(ref, first)).toBe(payloads[0]);
    }
  }

  /** Commits and compacts all of a few groups: every opening reads what is live, and a long run must not grow. */
  settle(log: SimLog): void {
    for (let tries = 0, settled = 0; tries < 60 && settled < 3; tries++) {
      const groupId = this.rng.between(1, this.groupsMax);
      const slot = this.slots.get(groupId);
      const group = this.model.get(groupId);
      if (slot === undefined || group === undefined || group.entries.length === 0) continue;
      const last = lastOf(group);
      log.wal.noteCommit(slot, last);
      log.wal.layCompact(slot, last);
      this.set(groupId, {
        compactedTo: last,
        compactedTerm: this.termAt(group, last),
        commitNoted: last,
        commitLaid: last,
        entries: [],
      });
      this.moments.push({ position: log.wal.position, changes: this.journal.length });
      settled++;
    }
  }

  below(group: ModelGroup, index: number): ModelGroup['entries'] {
    return group.entries.slice(0, index - 1 - group.compactedTo);
  }

  termAt(group: ModelGroup, index: number): number {
    return group.entries[index - 1 - group.compactedTo]?.term ?? group.compactedTerm;
  }

  /** Compaction, a snapshot of the log, one that replaces it, removal. */
  shrink(log: SimLog, groupId: number, slot: number, draw: number): void {
    const { rng } = this;
    const group = this.model.get(groupId) as ModelGroup;
    const { compactedTo, commitNoted } = group;
    const snapshot = (index: number, term: number): SnapshotInfo => ({
      index,
      term,
      id: new Uint8Array(16).fill(index),
      bytes: index,
      crc: 7,
      config: new Uint8Array(rng.below(20)),
    });
    if (draw === 13 && rng.chance(0.2)) {
      log.wal.removeGroup(slot);
      const { generation, term, voteNode } = group;
      this.set(groupId, { ...newGroup, generation, term, voteNode, isRemoved: true });
    } else if (draw === 12 && rng.chance(0.4) && group.term > 0) {
      const index = Math.max(commitNoted, group.snapshotIndex) + rng.between(1, 30);
      const term = rng.between(Math.max(1, this.termAt(group, commitNoted)), group.term);
      log.wal.laySnapshot(slot, snapshot(index, term), true);
      const commit = { commitNoted: index, commitLaid: index };
      const base = { compactedTo: index, compactedTerm: term, snapshotIndex: index };
      this.set(groupId, { ...base, ...commit, entries: [] });
    } else if (draw === 11 && commitNoted > Math.max(compactedTo, group.snapshotIndex)) {
      const index = rng.between(Math.max(compactedTo, group.snapshotIndex) + 1, commitNoted);
      log.wal.laySnapshot(slot, snapshot(index, this.termAt(group, index)), false);
      const commitLaid = Math.max(group.commitLaid, index);
      this.set(groupId, { snapshotIndex: index, commitLaid });
    } else if (commitNoted > compactedTo) {
      const upTo = rng.between(compactedTo + 1, commitNoted);
      log.wal.layCompact(slot, upTo, rng.chance(0.3) ? new Uint8Array(rng.below(60)) : undefined);
      this.set(groupId, {
        compactedTo: upTo,
        compactedTerm: this.termAt(group, upTo),
        commitLaid: Math.max(group.commitLaid, upTo),
        entries: group.entries.slice(upTo - compactedTo),
      });
    }
  }

  noteAcked(log: SimLog): void {
    const position = log.wal.durablePosition;
    const last = this.moments.findLastIndex((moment) => moment.position <= position);
    if (last < 0) return;
    const acked = (this.moments[last] as Moment).changes;
    this.moments = this.moments
      .slice(last + 1)
      .map((moment) => ({ ...moment, changes: moment.changes - acked }));
    this.journal.splice(0, acked);
  }

  crash(): void {
    const isKill = this.rng.chance(0.3);
    if (isKill) this.host.kill();
    else this.host.powerCut(randomCrash());
    this.log = null;
  }

  live(turnsMax = 40): void {
    this.open();
    const log = this.log as SimLog;
    if (this.rng.chance(0.7)) this.host.disk.crashAfter(this.rng.between(1, 3 * turnsMax));
    const turns = this.rng.between(1, turnsMax);
    for (let turn = 0; turn < turns && !this.host.disk.isStopped; turn++) {
      for (let i = this.rng.between(0, 6); i > 0; i--) this.act(log);
      log.wal.endTurn();
      this.host.runMs(this.rng.pick([0, 0.2, 1, 5, 300]));
      this.noteAcked(log);
      expect(log.poison).toEqual([]);
    }
    const { batches, syncs, rotations } = log.wal.counters;
    this.unsynced += Math.max(0, batches + rotations - syncs);
    this.freed += log.wal.counters.segmentsFreed;
    this.rewritten += log.wal.counters.rewrittenBytes;
    if (!this.host.disk.isStopped && this.rng.chance(0.3)) {
      try {
        this.host.close(log);
      } catch (error) {
        if (!this.host.disk.isStopped) throw error;
        return this.crash();
      }
      // A clean end keeps all of it, commits that were only noted too.
      for (const [groupId, group] of this.model) {
        this.model.set(groupId, { ...group, commitLaid: group.commitNoted });
      }
      this.journal = [];
      this.moments = [];
      return;
    }
    this.crash();
  }
}

describe('WF28, WF29, WF56, WF60, WF63: the log over crashes at any point', () => {
  it('shows a state that existed, never behind what was acknowledged', () => {
    let carried = 0;
    let torn = 0;
    let freed = 0;
    let rewritten = 0;
    let unsynced = 0;
    const first = Number(process.env.WAL_SEED_FIRST ?? 1);
    const seeds = Number(process.env.WAL_SEEDS ?? 60);
    for (let seed = first; seed < first + seeds; seed++) {
      const run = new Run(seed);
      try {
        for (let life = 0; life < 8; life++) run.live();
        run.open();
      } catch (error) {
        throw new Error(`seed ${seed}: ${(error as Error).message}`, { cause: error });
      }
      carried += run.carried;
      torn += run.torn;
      freed += run.freed;
      rewritten += run.rewritten;
      unsynced += run.unsynced;
    }
    // A few seeds are somebody's look at what they show. A run is worth something only if tails were torn and carried over.
    if (seeds < 60) return;
    expect(carried).toBeGreaterThan(10);
    expect(torn).toBeGreaterThan(5);
    expect(freed).toBeGreaterThan(20);
    expect(rewritten).toBeGreaterThan(10_000);
    expect(unsynced).toBeGreaterThan(200);
  }, 600_000);

  it('WF63: thousands of groups and a crash about every 200 steps, against the model', () => {
    // The nightly run takes WAL_STEPS=1000000 WAL_GROUPS=5000.
    const steps = Number(process.env.WAL_STEPS ?? 3000);
    const groups = Number(process.env.WAL_GROUPS ?? 500);
    const seed = Number(process.env.WAL_SEED_FIRST ?? 1);
    const run = new Run(seed, groups);
    let lives = 0;
    try {
      for (; run.steps < steps; lives++) run.live(130);
      run.open();
    } catch (error) {
      throw new Error(`seed ${seed}, life ${lives}: ${(error as Error).message}`, { cause: error });
    }
    expect(run.steps).toBeGreaterThanOrEqual(steps);
    expect(steps / lives).toBeLessThan(400);
    expect(run.freed).toBeGreaterThan(0);
  }, 7_200_000);
});
