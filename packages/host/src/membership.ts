// Membership as users see it: what they ask for, what they are told, why a change was refused.

import {
  type Configuration,
  leaseMsMax,
  type Member,
  membersMax,
  type RaftCore,
} from '@flotilla/core';
import { putU32, u32At } from '@flotilla/codec';

/** A change of a group's membership, carried out as one step. Lists hold node ids; a node stands in one list at most. */
export interface MembershipChange {
  /** Become voters: learners are promoted, others are added. */
  readonly voters?: readonly number[];
  /** Become learners: voters are demoted, others are added. */
  readonly learners?: readonly number[];
  /** Leave the group. */
  readonly remove?: readonly number[];
  /**
   * For how long whoever hears the leader elects no other, which is what lease reads rest on: leaseMsMin to a day, 0 =
   * no leases. Absent = as before.
   */
  readonly leaseMs?: number;
}

/** The shortest lease: its tenth is what clocks may drift apart in it, and time is counted in whole milliseconds. */
export const leaseMsMin = 100;

export interface MembershipResult {
  /** Index of the entry that brought the change. */
  readonly index: number;
  readonly term: number;
}

/** A group's configuration: the last one in this replica's log, committed or not. */
export interface Membership {
  readonly voters: readonly Member[];
  /** Voters of the configuration that is being left; none where it is not joint. */
  readonly votersOutgoing: readonly Member[];
  readonly learners: readonly Member[];
  /** Outgoing voters that become learners. */
  readonly learnersNext: readonly Member[];
  readonly leaseMs: number;
  /** Index of the entry that brought it, 0 = the group began with it. */
  readonly index: number;
  /** Term of that entry. */
  readonly term: number;
  readonly isCommitted: boolean;
}

/** What a leader knows of a member. */
export interface MemberProgress {
  readonly nodeId: number;
  readonly generation: number;
  readonly isVoter: boolean;
  /** Its log equals the leader's, durably, up to here. */
  readonly matchIndex: number;
  /** `awaitsSnapshot`: what it misses has left the leader's log, and nothing is sent to it. */
  readonly state: 'probing' | 'replicating' | 'awaitsSnapshot';
}

/** Of a replica that nobody has asked about yet. */
export const noMembership: Membership = {
  ...{ voters: [], votersOutgoing: [], learners: [], learnersNext: [] },
  ...{ leaseMs: 0, index: 0, term: 0, isCommitted: false },
};

export function membershipOf(core: RaftCore): Membership {
  const { voters, votersOutgoing, learners, learnersNext, leaseMs } = core.configuration;
  const index = core.configurationIndex;
  const isCommitted = index <= core.commitIndex;
  const term = core.termAt(index);
  return { voters, votersOutgoing, learners, learnersNext, leaseMs, index, term, isCommitted };
}

/** Node ids of all members, ascending. */
export function nodeIdsOf(configuration: Configuration): readonly number[] {
  const ids: number[] = [];
  for (const { nodeId } of configuration.members()) ids.push(nodeId);
  return ids.sort((a, b) => a - b);
}

/**
 * Why a change, a member or a membership was refused, in the order of their numbers in completions: MEMBERSHIP_INVALID's
 * details.kind, CONFIG_IN_PROGRESS's and MEMBER_NOT_READY's details.reason.
 */
export const membershipProblems = [
  'empty',
  'tooMany',
  'identity',
  'unknownNode',
  'notMember',
  'needsSnapshot',
  'changeInProgress',
  'noOwnCommit',
  'unreachable',
  'noReplica',
] as const;
export type MembershipProblem = (typeof membershipProblems)[number];

/** A change as it crosses the port: three counts, a lease (absentLease = absent), then the node ids. */
export interface ChangeRequest {
  readonly voters: readonly number[];
  readonly learners: readonly number[];
  readonly remove: readonly number[];
  readonly leaseMs: number | undefined;
}
const absentLease = 0xffff_ffff;

/** Throws RangeError where the arguments make no sense by themselves. */
export function encodeChange(change: MembershipChange): Uint8Array {
  const lists = [change.voters ?? [], change.learners ?? [], change.remove ?? []];
  const seen = new Set<number>();
  for (const nodeId of lists.flat()) {
    if (!(Number.isSafeInteger(nodeId) && nodeId >= 1 && nodeId < 2 ** 32)) {
      throw new RangeError(`a change of members names ${nodeId}, which is not a node id`);
    }
    if (seen.has(nodeId)) throw new RangeError(`a change of members names node ${nodeId} twice`);
    seen.add(nodeId);
  }
  const { leaseMs } = change;
  if (leaseMs !== undefined && leaseMs !== 0) {
    const isInRange =
      Number.isSafeInteger(leaseMs) && leaseMs >= leaseMsMin && leaseMs <= leaseMsMax;
    if (!isInRange) {
      throw new RangeError(
        `leaseMs must be 0 or from ${leaseMsMin} to ${leaseMsMax}, not ${leaseMs}`,
      );
    }
  }
  if (seen.size === 0 && leaseMs === undefined) {
    throw new RangeError('a change of members changes something');
  }
  if (seen.size > 2 * membersMax) {
    throw new RangeError(`a change of members names at most ${2 * membersMax} nodes`);
  }
  const bytes = new Uint8Array(16 + 4 * seen.size);
  lists.forEach((list, i) => {
    putU32(bytes, 4 * i, list.length);
  });
  putU32(bytes, 12, leaseMs ?? absentLease);
  lists.flat().forEach((nodeId, i) => {
    putU32(bytes, 16 + 4 * i, nodeId);
  });
  return bytes;
}

/** What encodeChange made; it comes from this process. */
export function decodeChange(bytes: Uint8Array, at: number): ChangeRequest {
  let next = at + 16;
  const take = (count: number): number[] =>
    Array.from({ length: count }, () => {
      next += 4;
      return u32At(bytes, next - 4);
    });
  const voters = take(u32At(bytes, at));
  const learners = take(u32At(bytes, at + 4));
  const remove = take(u32At(bytes, at + 8));
  const leaseMs = u32At(bytes, at + 12);
  return { voters, learners, remove, leaseMs: leaseMs === absentLease ? undefined : leaseMs };
}
