// What a RaftNode is made from, with its defaults, and how that becomes a core: one tick is one millisecond to the core,
// one entry one byte, so that its windows and batches count entries.

import { type CoreBoot, type CoreConfig, type TermEnd, votersMax } from '@flotilla/core';
import { configurationOf } from './core-messages.ts';
import type { SyncLog } from './sync-log.ts';

export interface RaftNodeOptions {
  readonly id: number;
  /**
   * The voters that the group begins with, the same on every node; `[id]` where absent. A node that is to join a group
   * names the group's voters, without itself. What the log says later counts for more.
   */
  readonly voters?: readonly number[];
  /** Without a leader a node campaigns after a random number of ticks between these. */
  readonly electionTicks?: readonly [number, number];
  readonly heartbeatTicks?: number;
  /** Entries in one message. */
  readonly maxBatch?: number;
  /** Entries applied between two hints to make a snapshot; 0 = never. */
  readonly snapshotThreshold?: number;
  /** Seeds the random numbers: the same seed, log and events give the same actions. */
  readonly seed?: number;
  readonly preVote?: boolean;
  /** A leader that hears no quorum steps down, and nodes that hear it elect no other. */
  readonly checkQuorum?: boolean;
  readonly log?: SyncLog;
}

export interface Settings {
  readonly config: CoreConfig;
  readonly maxBatch: number;
  readonly snapshotThreshold: number;
  readonly electionTicksMin: number;
  readonly seed: number;
}

const inflightMessagesMax = 64;

/** Throws RangeError that names the option. */
export function settingsOf(options: RaftNodeOptions): Settings {
  const [electionTicksMin, electionTicksMax] = options.electionTicks ?? [10, 20];
  const heartbeatTicks = options.heartbeatTicks ?? 3;
  const maxBatch = options.maxBatch ?? 64;
  const snapshotThreshold = options.snapshotThreshold ?? 0;
  const seed = options.seed ?? 0;
  checkCount('id', options.id, 1, 0xffff_ffff);
  checkCount('heartbeatTicks', heartbeatTicks, 1);
  checkCount('electionTicks[0]', electionTicksMin, heartbeatTicks + 1);
  checkCount('electionTicks[1]', electionTicksMax, electionTicksMin + 1);
  checkCount('maxBatch', maxBatch, 1);
  checkCount('snapshotThreshold', snapshotThreshold, 0);
  checkCount('seed', seed, 0);
  const config: CoreConfig = {
    nodeId: options.id,
    electionMsMin: electionTicksMin,
    electionMsMax: electionTicksMax,
    heartbeatMs: heartbeatTicks,
    preVote: options.preVote ?? true,
    checkQuorum: options.checkQuorum ?? true,
    inflightMessagesMax,
    inflightBytesMax: Number.MAX_SAFE_INTEGER,
    appendBytesMax: maxBatch,
  };
  return { config, maxBatch, snapshotThreshold, electionTicksMin, seed };
}

export function checkCount(
  name: string,
  value: number,
  min: number,
  max: number = Number.MAX_SAFE_INTEGER,
): void {
  if (Number.isSafeInteger(value) && value >= min && value <= max) return;
  throw new RangeError(`${name} is a whole number from ${min} to ${max}, not ${value}`);
}

/** The members as of each place in the log that changed them, oldest first; the first one is the base. */
export interface MembersAt {
  readonly index: number;
  readonly members: readonly number[];
}

export interface Recovered {
  readonly boot: CoreBoot;
  readonly memberships: readonly MembersAt[];
}

/** Throws RangeError where the log, or the voters to begin with, make no sense. */
export function recover(options: RaftNodeOptions, settings: Settings, log: SyncLog): Recovered {
  const { term, votedFor } = log.hardState();
  const snapshot = log.snapshot();
  const before = snapshot?.index ?? 0;
  const bootstrap = options.voters ?? [options.id];
  const memberships: MembersAt[] = [{ index: before, members: snapshot?.members ?? bootstrap }];
  const termEnds: TermEnd[] = [];
  for (const entry of log.entries(before + 1, log.lastIndex())) {
    if (termEnds.at(-1)?.term === entry.term) termEnds.pop();
    termEnds.push({ term: entry.term, lastIndex: entry.index });
    if (entry.kind === 'members') memberships.push({ index: entry.index, members: entry.members });
  }
  const [base, ...configurations] = memberships.map(({ index, members }) => {
    const configuration = configurationOf(members);
    if (configuration !== null) return { index, configuration };
    throw new RangeError(`not 1 to ${votersMax} voters: ${JSON.stringify(members)}`);
  });
  if (base === undefined) throw new RangeError('a log has members');
  const { maxBatch } = settings;
  const boot: CoreBoot = {
    term,
    votedFor,
    commit: before,
    firstIndex: before + 1,
    prevTerm: snapshot?.term ?? 0,
    termEnds,
    log: {
      lastIndexWithin: (first, last) => Math.min(last, first + maxBatch - 1),
      bytesBetween: (first, last) => last - first + 1,
    },
    configuration: base.configuration,
    configurations,
    seed: settings.seed,
  };
  return { boot, memberships };
}
