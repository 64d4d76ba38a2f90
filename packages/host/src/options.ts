// Options of a host: defaults, and the checks that refuse values that cannot work, all problems at once.

import { FlotillaError, parseAddress, type World } from '@flotilla/io';
import type { Membership } from './membership.ts';

export interface PeerAddress {
  readonly nodeId: number;
  /** host:port of its peer listener. */
  readonly address: string;
  /** Identity of its data directory, 0 = bind what answers first. */
  readonly instance: number;
}

export interface MembershipEvent {
  readonly groupId: number;
  readonly generation: number;
  readonly term: number;
  readonly isLeader: boolean;
  readonly membership: Membership;
}

export interface HostOptions {
  readonly nodeId: number;
  /** Directory of the log. */
  readonly directory: string;
  /** Make a new store in an absent or empty directory; without it, an absent store is refused. */
  readonly create?: boolean;
  /** This directory's identity as a member; default: drawn at random when the store is created. */
  readonly instance?: number;
  /** 16 bytes that all hosts of a cluster share. */
  readonly clusterId: Uint8Array;
  /** host:port to listen on for peers. */
  readonly listen: string;
  readonly peers: readonly PeerAddress[];
  readonly electionMsMin?: number;
  readonly electionMsMax?: number;
  readonly heartbeatMs?: number;
  readonly preVote?: boolean;
  readonly checkQuorum?: boolean;
  /** Largest command. */
  readonly entryBytesMax?: number;
  readonly segmentBytes?: number;
  readonly walBytesMax?: number;
  readonly cacheBytes?: number;
  readonly syncMethod?: 'fdatasync' | 'dsync' | 'direct' | 'none';
  /**
   * With syncMethod `direct`: a thread that waits for the next batch awake writes the log, and the event loop looks for
   * its end, awake too. A lower latency for up to two processors. Not together with `world`.
   */
  readonly ioThread?: boolean | undefined;
  /** Damage of exactly one bit in the last batch, which nothing shows to have been acknowledged. */
  readonly suspectTail?: 'refuse' | 'discard';
  /** Threads that check a long log while it is opened; 0 = in this one. Default: as there are processors, two at most. */
  readonly scanWorkers?: number;
  /** Commands taken and not answered yet, of all groups and of one; above it: BUSY. */
  readonly pendingBytesMax?: number;
  readonly groupPendingBytesMax?: number;
  /** Append messages and bytes to one follower of one group that are not answered yet. */
  readonly inflightMessagesMax?: number;
  readonly inflightBytesMax?: number;
  readonly appendBytesMax?: number;
  readonly insecureNetwork?: boolean;
  /**
   * Another configuration counts for a replica of this host (it stands in its log, committed or not), or the one that does
   * is committed now. Called from within the host's turn: look, and return.
   */
  readonly onMembershipChanged?: (event: MembershipEvent) => void;
  /** Called once when a write or sync of the log failed: nothing is durable any more, every group has stopped. */
  readonly onPoisoned?: (error: FlotillaError) => void;
  /** Lines for an operator: a dropped tail, a rejected peer, a failed group. */
  readonly onInfo?: (line: string) => void;
  /** Default: the real one. */
  readonly world?: World;
}

export type NumberOptionName =
  | 'electionMsMin'
  | 'electionMsMax'
  | 'heartbeatMs'
  | 'entryBytesMax'
  | 'segmentBytes'
  | 'walBytesMax'
  | 'cacheBytes'
  | 'scanWorkers'
  | 'pendingBytesMax'
  | 'groupPendingBytesMax'
  | 'inflightMessagesMax'
  | 'inflightBytesMax'
  | 'appendBytesMax';

interface NumberOption {
  readonly default: number;
  readonly min: number;
  readonly max: number;
}

export const numberOptions: Readonly<Record<NumberOptionName, NumberOption>> = {
  electionMsMin: { default: 500, min: 10, max: 600_000 },
  electionMsMax: { default: 1000, min: 11, max: 1_200_000 },
  heartbeatMs: { default: 100, min: 1, max: 300_000 },
  entryBytesMax: { default: 8 << 20, min: 1024, max: 64 << 20 },
  segmentBytes: { default: 64 << 20, min: 64 << 10, max: 1 << 30 },
  walBytesMax: { default: 4 * 2 ** 30, min: 1 << 20, max: 2 ** 46 },
  cacheBytes: { default: 16 << 20, min: 1 << 20, max: 2 ** 36 },
  scanWorkers: { default: 2, min: 0, max: 4 },
  pendingBytesMax: { default: 16 << 20, min: 1 << 10, max: 2 ** 31 },
  groupPendingBytesMax: { default: 8 << 20, min: 1 << 10, max: 2 ** 31 },
  inflightMessagesMax: { default: 256, min: 1, max: 65_536 },
  inflightBytesMax: { default: 16 << 20, min: 1 << 10, max: 2 ** 32 },
  appendBytesMax: { default: 1 << 20, min: 1 << 10, max: 8 << 20 },
};

export type ResolvedNumbers = { readonly [Name in NumberOptionName]: number };

/** Fills in defaults. Throws CONFIG_INVALID that lists every problem. */
export function resolveNumbers(options: HostOptions): ResolvedNumbers {
  const problems: string[] = [];
  const resolved: Record<string, number> = {};
  for (const [name, rule] of Object.entries(numberOptions) as [NumberOptionName, NumberOption][]) {
    const value = options[name] ?? rule.default;
    if (!Number.isSafeInteger(value) || value < rule.min || value > rule.max) {
      problems.push(`${name} must be an integer from ${rule.min} to ${rule.max}, not ${value}`);
    }
    resolved[name] = value;
  }
  const numbers = resolved as unknown as ResolvedNumbers;
  if (numbers.electionMsMax <= numbers.electionMsMin) {
    problems.push('electionMsMax must be above electionMsMin');
  }
  if (numbers.heartbeatMs * 2 > numbers.electionMsMin) {
    problems.push('heartbeatMs must be at most half of electionMsMin');
  }
  if (!isId(options.nodeId))
    problems.push(`nodeId must be from 1 to 2^32-1, not ${options.nodeId}`);
  if (options.clusterId.length !== 16) problems.push('clusterId must have 16 bytes');
  const seen = new Set([options.nodeId]);
  for (const peer of options.peers) {
    problems.push(...peerProblems(peer));
    if (seen.has(peer.nodeId)) problems.push(`nodeId ${peer.nodeId} is there twice`);
    seen.add(peer.nodeId);
  }
  if (options.ioThread === true && options.world !== undefined) {
    problems.push(
      'ioThread is for the world that the host makes: leave one of ioThread and world out',
    );
  }
  if (options.ioThread === true && options.syncMethod !== 'direct') {
    problems.push("ioThread needs syncMethod 'direct'");
  }
  if (problems.length > 0) {
    throw new FlotillaError('CONFIG_INVALID', `cannot open the host: ${problems.join('; ')}`, {
      problems,
    });
  }
  return numbers;
}

/** What is wrong with what is said of a peer. */
export function peerProblems({ nodeId, address, instance }: PeerAddress): string[] {
  const problems: string[] = [];
  if (!isId(nodeId)) problems.push(`a peer's nodeId must be from 1 to 2^32-1, not ${nodeId}`);
  if (!Number.isSafeInteger(instance) || instance < 0) {
    problems.push(`the instance of peer ${nodeId} must be an integer from 0 on, not ${instance}`);
  }
  try {
    parseAddress(address);
  } catch (error) {
    problems.push(`peer ${nodeId}: ${(error as Error).message}`);
  }
  return problems;
}

function isId(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 1 && value < 2 ** 32;
}
