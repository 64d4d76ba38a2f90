// The log against a model, over power cuts, kills and disks that stop in the middle of any operation: what recovery
// shows is always a state that existed, at or behind the last one that was acknowledged.

import { randomCrash, SimRng } from '@flotilla/testkit';
import { describe, expect, it } from 'vitest';
import type { FlotillaError } from '@flotilla/io';
import { RecordRef, type RecoveredGroup } from '../src/api.ts';
import { layEntries, payloadIn } from './harness.ts';
import { SimLogHost, type SimLog } from './sim-harness.ts';

interface ModelGroup {
  readonly term: number;
  readonly voteNode: number;
  /** Committed at most, laid at least. */
  readonly commitNoted: number;
  readonly commitLaid: number;
  readonly entries: readonly { readonly term: number; readonly payload: string }[];
}
type Model = ReadonlyMap<number, ModelGroup>;

interface Moment {
  readonly position: number;
  readonly model: Model;
}

/** A group as recovered, with what it says of each entry. */
interface FoundGroup extends RecoveredGroup {
  readonly payloads: readonly string[];
}

function matchesModel(model: Model, found: readonly FoundGroup[]): boolean {
  if (model.size !== found.length) return false;
  return found.every((group) => {
    const expected = model.get(group.groupId);
    if (expected === undefined || expected.entries.length !== group.lastIndex) return false;
    if (expected.term !== group.term || expected.voteNode !== group.vote.nodeId) return false;
    if (group.commit < expected.commitLaid || group.commit > expected.commitNoted) return false;
    let first = 1;
    for (const end of group.termEnds) {
      for (let index = first; index <= end.lastIndex; index++) {
        const entry = expected.entries[index - 1];
        if (entry?.term !== end.term || entry.payload !== group.payloads[index - 1]) return false;
      }
      first = end.lastIndex + 1;
    }
    return first === group.lastIndex + 1;
  });
}

class Run {
  readonly host: SimLogHost;
  readonly rng: SimRng;
  log: SimLog | null = null;
  model: Model = new Map();
  moments: Moment[] = [];
  acked: Moment = { position: 0, model: new Map() };
  slots = new Map<number, number>();
  carried = 0;
  torn = 0;

  constructor(seed: number) {
    this.host = new SimLogHost(seed);
    this.rng = new SimRng(seed, 'model');
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
    try {
      return this.host.tryOpen();
    } catch (error) {
      if (this.host.disk.isStopped) return null;
      throw error;
    }
  }

  check(log: SimLog): void {
    const found = log.wal
      .recoveredGroups()
      .map((group) => ({ ...group, payloads: this.payloadsOf(log, group) }));
    const candidates = [this.acked, ...this.moments];
    const match = candidates.findLast((moment) => matchesModel(moment.model, found));
    if (match === undefined) {
      const shown = found.map(({ groupId, lastIndex, term, commit }) => ({
        groupId,
        lastIndex,
        term,
        commit,
      }));
      throw new Error(`a state that never existed, or was overtaken: ${JSON.stringify(shown)}`);
    }
    this.carried += log.wal.report.carriedBatches;
    if (log.wal.report.verdict === 'torn') this.torn++;
    this.slots = new Map(found.map((group) => [group.groupId, group.slot]));
    // What was noted only is as recovery found it.
    this.model = new Map(
      found.map((group) => {
        const expected = match.model.get(group.groupId) as ModelGroup;
        return [
          group.groupId,
          { ...expected, commitNoted: group.commit, commitLaid: group.commit },
        ];
      }),
    );
    this.moments = [];
    this.acked = { position: log.wal.position, model: this.model };
  }

  payloadsOf(log: SimLog, group: RecoveredGroup): string[] {
    const payloads: string[] = [];
    while (payloads.length < group.lastIndex) {
      let ref: RecordRef | null = null;
      log.wal.load(group.slot, payloads.length + 1, (error, loaded) => {
        if (error !== null) throw error;
        ref = loaded;
      });
      this.host.run(() => ref !== null);
      const { lastIndex } = ref as unknown as RecordRef;
      for (let index = payloads.length + 1; index <= lastIndex; index++) {
        payloads.push(payloadIn(ref as unknown as RecordRef, index));
      }
    }
    return payloads;
  }

  set(groupId: number, change: Partial<ModelGroup>): void {
    const before = this.model.get(groupId) ?? {
      term: 0,
      voteNode: 0,
      commitNoted: 0,
      commitLaid: 0,
      entries: [],
    };
    this.model = new Map(this.model).set(groupId, { ...before, ...change });
  }

  act(log: SimLog): void {
    const { rng } = this;
    const groupId = rng.between(1, 6);
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
    this.moments.push({ position: log.wal.position, model: this.model });
  }

  actOn(log: SimLog, groupId: number, slot: number): void {
    const { rng } = this;
    const group = this.model.get(groupId) as ModelGroup;
    const last = group.entries.length;
    const draw = rng.below(10);
    if (draw === 0 || group.term === 0) {
      const term = group.term + rng.between(1, 2);
      const voteNode = rng.between(0, 3);
      const vote = { nodeId: voteNode, generation: voteNode > 0 ? 1 : 0, instance: voteNode };
      log.wal.layHardState(slot, term, vote, group.commitNoted);
      this.set(groupId, { term, voteNode, commitLaid: group.commitNoted });
    } else if (draw === 1 && last > 0) {
      const commit = rng.between(group.commitNoted, last);
      log.wal.noteCommit(slot, commit);
      this.set(groupId, { commitNoted: commit });
    } else if (draw === 2 && last > group.commitNoted) {
      const from = rng.between(group.commitNoted + 1, last);
      log.wal.layTruncate(slot, from);
      this.set(groupId, { entries: group.entries.slice(0, from - 1) });
    } else {
      const isConflict = draw === 3 && last > group.commitNoted;
      const first = isConflict ? rng.between(group.commitNoted + 1, last) : last + 1;
      const least = group.entries[first - 2]?.term ?? 1;
      const term = rng.between(least, group.term);
      const size = rng.chance(0.03) ? 30_000 : rng.logBetween(1, 6000);
      const count = size === 30_000 ? 1 : rng.between(1, 4);
      const payloads = Array.from({ length: count }, (_, i) =>
        `${groupId}/${first + i}/${rng.u32()}`.padEnd(size, '-'),
      );
      layEntries(log.wal, slot, first, payloads, term);
      const added = payloads.map((payload) => ({ term, payload }));
      this.set(groupId, { entries: [...group.entries.slice(0, first - 1), ...added] });
      const ref = new RecordRef();
      expect(log.wal.lookup(slot, first, ref)).toBe(true);
      expect(payloadIn(ref, first)).toBe(payloads[0]);
    }
  }

  noteAcked(log: SimLog): void {
    const position = log.wal.durablePosition;
    const last = this.moments.findLastIndex((moment) => moment.position <= position);
    if (last < 0) return;
    this.acked = this.moments[last] as Moment;
    this.moments.splice(0, last + 1);
  }

  crash(): void {
    const isKill = this.rng.chance(0.3);
    if (isKill) this.host.kill();
    else this.host.powerCut(randomCrash());
    this.log = null;
  }

  live(): void {
    this.open();
    const log = this.log as SimLog;
    if (this.rng.chance(0.7)) this.host.disk.crashAfter(this.rng.between(1, 120));
    const turns = this.rng.between(1, 40);
    for (let turn = 0; turn < turns && !this.host.disk.isStopped; turn++) {
      for (let i = this.rng.between(0, 6); i > 0; i--) this.act(log);
      log.wal.endTurn();
      this.host.runMs(this.rng.pick([0, 0.2, 1, 5, 300]));
      this.noteAcked(log);
      expect(log.poison).toEqual([]);
    }
    if (!this.host.disk.isStopped && this.rng.chance(0.3)) {
      const before = this.model;
      try {
        this.host.close(log);
      } catch (error) {
        if (!this.host.disk.isStopped) throw error;
        return this.crash();
      }
      // A clean end keeps all of it, commits that were only noted too.
      const all = new Map(
        [...before].map(([id, group]) => [id, { ...group, commitLaid: group.commitNoted }]),
      );
      this.acked = { position: 0, model: all };
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
    const first = Number(process.env.WAL_SEED_FIRST ?? 1);
    for (let seed = first; seed < first + Number(process.env.WAL_SEEDS ?? 60); seed++) {
      const run = new Run(seed);
      try {
        for (let life = 0; life < 8; life++) run.live();
        run.open();
      } catch (error) {
        throw new Error(`seed ${seed}: ${(error as Error).message}`, { cause: error });
      }
      carried += run.carried;
      torn += run.torn;
    }
    // The run is worth something only if tails were torn and carried over.
    expect(carried).toBeGreaterThan(10);
    expect(torn).toBeGreaterThan(5);
  });
});
