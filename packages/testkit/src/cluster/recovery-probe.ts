// Recovers a copy of a host's disk on the spot, without the kernel and without touching the original, and judges what
// is found by what that host's replicas had promised:
//
//   W1  recovery succeeds, and every term, vote and acknowledged entry is there
//   W2  recovering again, also after a crash in the middle of recovery, gives the same groups
//
// Asked after every crash, and, with everything unsynced lost, at moments when a vote has just left.

import type { Clock, FlotillaError, Rng } from '@flotilla/io';
import { openWal, type RecoveredGroup, type WalOptions, type WalTermEnd } from '@flotilla/wal';
import { loseEverything } from '../disk-crash.ts';
import type { DiskImage } from '../disk-image.ts';
import { QueueScheduler } from '../queue-scheduler.ts';
import { SimDisk } from '../sim-disk.ts';
import type { SimRng } from '../sim-rng.ts';
import type { LogChain } from './log-chain.ts';
import type { ReplicaPromises } from './witness.ts';

export interface RecoveredLog {
  readonly generation: number;
  /** Only a tombstone is left. */
  readonly isRemoved: boolean;
  readonly term: number;
  readonly votedFor: number;
  readonly commit: number;
  readonly lastIndex: number;
  readonly termEnds: readonly WalTermEnd[];
}

export type Recovered =
  | { readonly groups: ReadonlyMap<number, RecoveredLog>; readonly error: null }
  | { readonly groups: null; readonly error: FlotillaError };

/** Calls of the probe's clock cost nothing; its turns run in the queue of the disk. */
function frozenClock(queue: QueueScheduler): Clock {
  return {
    monotonicMs: () => 1000,
    wallMs: () => 1_700_000_000_000,
    at: () => ({ cancel() {} }),
    nextTurn: (callback) => queue.after(0, 'turn', callback),
  };
}

/** Opens the store of `disk`, whose scheduler is `queue`. Null: it did not come to an end (the disk has stopped). */
function recover(
  disk: SimDisk,
  queue: QueueScheduler,
  rng: Rng,
  options: WalOptions,
): Recovered | null {
  const found: { value: Recovered | null } = { value: null };
  const events = { onDurable() {}, onPoisoned() {} };
  openWal({ clock: frozenClock(queue), rng, disk }, options, events, (error, wal) => {
    if (error !== null) {
      found.value = { groups: null, error };
      return;
    }
    const groups = new Map<number, RecoveredLog>();
    for (const group of wal.recoveredGroups()) groups.set(group.groupId, logOf(group));
    found.value = { groups, error: null };
  });
  queue.drain();
  return found.value;
}

function logOf(group: RecoveredGroup): RecoveredLog {
  return {
    generation: group.generation,
    isRemoved: group.isRemoved,
    term: group.term,
    votedFor: group.vote.nodeId,
    commit: group.commit,
    lastIndex: group.lastIndex,
    termEnds: group.termEnds.map(({ term, lastIndex }) => ({ term, lastIndex })),
  };
}

export class RecoveryProbe {
  readonly #options: WalOptions;

  constructor(options: WalOptions) {
    this.#options = options;
  }

  /** What recovery finds on that image; `loses` = after a power cut that leaves nothing unsynced. */
  recover(image: DiskImage, rng: SimRng, loses: boolean): Recovered {
    const queue = new QueueScheduler();
    const disk = SimDisk.fromImage(image, rng.fork('disk'), queue);
    if (loses) disk.crash(loseEverything);
    const recovered = recover(disk, queue, rng, this.#options);
    if (recovered === null) throw new Error('a recovery without faults did not come to an end');
    return recovered;
  }

  /**
   * Cuts the power over the image, then recovers twice: in one go, and with a second power cut in the middle. Answers
   * what is different, or null.
   */
  differenceAfterCrash(image: DiskImage, rng: SimRng): string | null {
    const queue = new QueueScheduler();
    const disk = SimDisk.fromImage(image, rng.fork('disk'), queue);
    disk.crash();
    const first = this.recover(disk.image(), rng.fork('first'), false);
    disk.crashAfter(rng.logBetween(1, 400));
    recover(disk, queue, rng, this.#options);
    // Where recovery was through before that operation, the cut comes behind it.
    disk.crash();
    const second = recover(disk, queue, rng.fork('second'), this.#options);
    if (second === null) throw new Error('a recovery without faults did not come to an end');
    return difference(first, second);
  }
}

/** What two recoveries of one disk found differently, or null. */
export function difference(first: Recovered, second: Recovered): string | null {
  if (first.error !== null || second.error !== null) {
    const says = ({ error }: Recovered): string =>
      error === null ? 'succeeds' : `fails with ${error.code}: ${error.message}`;
    return first.error?.code === second.error?.code
      ? null
      : `the first recovery ${says(first)}, the second ${says(second)}`;
  }
  for (const groupId of new Set([...first.groups.keys(), ...second.groups.keys()])) {
    const a = JSON.stringify(first.groups.get(groupId) ?? null);
    const b = JSON.stringify(second.groups.get(groupId) ?? null);
    if (a !== b) return `group ${groupId} is ${a}, then ${b}`;
  }
  return null;
}

/** Term of `index` in a recovered log, 0 = not there. */
export function recoveredTermAt(log: RecoveredLog, index: number): number {
  if (index < 1) return 0;
  for (const { term, lastIndex } of log.termEnds) if (index <= lastIndex) return term;
  return 0;
}

export interface Judgement {
  /** What is wrong, or null. */
  readonly problem: string | null;
  /** Whether the promises could be judged at all. */
  readonly isDecided: boolean;
}

const fine: Judgement = { problem: null, isDecided: true };
const undecided: Judgement = { problem: null, isDecided: false };
const wrong = (problem: string): Judgement => ({ problem, isDecided: true });

/** Holds a recovered replica against what it had told others. */
export function judge(
  log: RecoveredLog | undefined,
  promises: ReplicaPromises,
  chain: LogChain,
): Judgement {
  if (log === undefined) {
    return promises.term === 0 ? fine : wrong(`it is gone, having spoken of term ${promises.term}`);
  }
  if (log.term < promises.term) {
    return wrong(`it is in term ${log.term}, having spoken of term ${promises.term}`);
  }
  if (log.term === promises.voteTerm && log.votedFor !== promises.votedFor) {
    return wrong(
      `its vote in term ${log.term} is ${log.votedFor}, having voted for ${promises.votedFor}`,
    );
  }
  if (log.generation < promises.generation) {
    return wrong(`it is replica ${log.generation}, having spoken as ${promises.generation}`);
  }
  // What a removed replica acknowledged is gone with it; the next one has acknowledged nothing.
  if (log.isRemoved || log.generation > promises.generation) return fine;
  return judgeAck(log, promises, chain);
}

/**
 * The acknowledged entry is there, or a later leader has replaced an entry up to it. A log that is merely shorter was
 * cut: replacing lays the new entry where it cuts.
 */
function judgeAck(log: RecoveredLog, { ack }: ReplicaPromises, chain: LogChain): Judgement {
  if (ack.index === 0) return fine;
  const said = `having acknowledged ${ack.index} of term ${ack.entryTerm} to the leader of term ${ack.term}`;
  const end = Math.min(log.lastIndex, ack.index);
  const there = recoveredTermAt(log, end);
  const expected = end === ack.index ? ack.entryTerm : chain.termAt(end, ack.index, ack.entryTerm);
  if (expected === null) return undecided;
  if (there === expected && end === ack.index) return fine;
  if (there !== expected) {
    return log.term > ack.term
      ? fine
      : wrong(`its entry ${end} is of term ${there}, not ${expected}, ${said}`);
  }
  // Two leaders may have replaced entries, one after the other, and neither have got an answer.
  return log.term <= ack.term + 1 ? wrong(`its log ends at ${log.lastIndex}, ${said}`) : undecided;
}
