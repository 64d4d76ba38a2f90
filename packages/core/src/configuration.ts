// A configuration: who belongs to a group, and in which part (Raft §6, thesis §4.2-4.3). An immutable value; a change
// makes a new one (configuration-change.ts). It counts from the moment its entry is appended to a log.
//
// Invariants, checked when one is made:
// 1. Every list ascends strictly by node id: a node stands once in a list.
// 2. A node that stands in both halves has the same identity in both. All else is disjoint: no learner votes, and a
//    learner-to-be (`learnersNext`) is a voter of the outgoing half that is not one of the incoming half.
// 3. Only a joint configuration (one with an outgoing half) has learners-to-be or leaves by itself.
// 4. A joint configuration has an incoming voter. One without any voter at all is the state of a replica that has
//    not heard of its group yet; it can elect nobody and commit nothing.
// 5. At most `votersMax` nodes vote, at most `membersMax` belong.
// 6. The lease (`leaseMs`, 0 = no lease reads) belongs to it: it is what all members promise a leader they heard.
//
// What the core needs in every step stands ready here once, shared by all cores of one configuration: voters as
// positions (bits), the two halves as sets of bits.

import { votersMax } from './quorum.ts';

export const membersMax = 127;
export const leaseMsMax = 86_400_000;
const uint32Max = 0xffff_ffff;

/** A member is {nodeId, generation, instance}: which node, its how-manieth replica of this group, on which directory. */
export interface Member {
  readonly nodeId: number;
  /** Counts the replicas that this node has had of the group, from 1. */
  readonly generation: number;
  /** Identity of the data directory; 0 = not bound yet. */
  readonly instance: number;
}

/** The parts of a configuration as plain data, in any order; absent lists are empty. */
export interface ConfigurationParts {
  readonly voters: readonly Member[];
  /** Voters of the configuration that is being left; none where it is not joint. */
  readonly votersOutgoing?: readonly Member[];
  readonly learners?: readonly Member[];
  /** Outgoing voters that become learners when the joint configuration is left. */
  readonly learnersNext?: readonly Member[];
  /** Whether the leader leaves this joint configuration by itself once it is committed. */
  readonly autoLeave?: boolean;
  /** For how long whoever hears the leader elects no other; leases for reads rest on it. 0 = no lease reads. */
  readonly leaseMs?: number;
}

const noMembers: readonly Member[] = [];

export class Configuration {
  readonly voters: readonly Member[];
  readonly votersOutgoing: readonly Member[];
  readonly learners: readonly Member[];
  readonly learnersNext: readonly Member[];
  readonly autoLeave: boolean;
  readonly leaseMs: number;
  /** Node ids that vote in either half, ascending: bit i of a set of voters is the node at position i. */
  readonly votingIds: readonly number[];
  readonly incoming: number;
  readonly outgoing: number;

  /** Throws RangeError where the parts break an invariant. */
  constructor(parts: ConfigurationParts) {
    const problem = configurationProblem(parts);
    if (problem !== null) throw new RangeError(`configuration: ${problem}`);
    this.voters = sorted(parts.voters);
    this.votersOutgoing = sorted(parts.votersOutgoing);
    this.learners = sorted(parts.learners);
    this.learnersNext = sorted(parts.learnersNext);
    this.autoLeave = parts.autoLeave === true;
    this.leaseMs = parts.leaseMs ?? 0;
    const voting = new Set<number>();
    for (const { nodeId } of this.voters) voting.add(nodeId);
    for (const { nodeId } of this.votersOutgoing) voting.add(nodeId);
    this.votingIds = [...voting].sort((a, b) => a - b);
    this.incoming = this.#bitsOf(this.voters);
    this.outgoing = this.#bitsOf(this.votersOutgoing);
  }

  /** The same members under another lease. */
  withLease(leaseMs: number): Configuration {
    return leaseMs === this.leaseMs ? this : new Configuration({ ...this, leaseMs });
  }

  /** Voters by node id alone, each as its first replica on a directory that is not bound yet. */
  static ofNodes(nodeIds: readonly number[]): Configuration {
    return new Configuration({ voters: nodeIds.map(firstReplica) });
  }

  get isJoint(): boolean {
    return this.outgoing !== 0;
  }

  /** Position of a voter of either half, -1 = it does not vote. */
  positionOf(nodeId: number): number {
    return this.votingIds.indexOf(nodeId);
  }

  /** The bit of a voter of either half, 0 = it does not vote. */
  bitOf(nodeId: number): number {
    const position = this.votingIds.indexOf(nodeId);
    return position < 0 ? 0 : 1 << position;
  }

  isLearner(nodeId: number): boolean {
    return find(this.learners, nodeId) !== null;
  }

  /** The member of that node in any part, or null. */
  memberOf(nodeId: number): Member | null {
    return (
      find(this.voters, nodeId) ?? find(this.votersOutgoing, nodeId) ?? find(this.learners, nodeId)
    );
  }

  /** All members, each once, ascending by node id. */
  members(): readonly Member[] {
    if (!this.isJoint && this.learners.length === 0) return this.voters;
    const left = this.votersOutgoing.filter(({ nodeId }) => find(this.voters, nodeId) === null);
    return sorted([...this.voters, ...left, ...this.learners]);
  }

  /** Whether both name the same members with the same identities in the same parts. */
  equals(other: Configuration): boolean {
    return (
      this === other ||
      (this.autoLeave === other.autoLeave &&
        this.leaseMs === other.leaseMs &&
        sameMembers(this.voters, other.voters) &&
        sameMembers(this.votersOutgoing, other.votersOutgoing) &&
        sameMembers(this.learners, other.learners) &&
        sameMembers(this.learnersNext, other.learnersNext))
    );
  }

  #bitsOf(members: readonly Member[]): number {
    let bits = 0;
    for (const { nodeId } of members) bits |= 1 << this.votingIds.indexOf(nodeId);
    return bits;
  }
}

/** Of a replica that has not heard of its group's members yet. */
export const emptyConfiguration: Configuration = new Configuration({ voters: noMembers });

export function firstReplica(nodeId: number): Member {
  return { nodeId, generation: 1, instance: 0 };
}

export function sameMember(a: Member, b: Member): boolean {
  return a.nodeId === b.nodeId && a.generation === b.generation && a.instance === b.instance;
}

function sameMembers(a: readonly Member[], b: readonly Member[]): boolean {
  return a.length === b.length && a.every((member, at) => sameMember(member, b[at] as Member));
}

function find(members: readonly Member[], nodeId: number): Member | null {
  for (let i = 0; i < members.length; i++) {
    const member = members[i] as Member;
    if (member.nodeId === nodeId) return member;
  }
  return null;
}

function sorted(members: readonly Member[] | undefined): readonly Member[] {
  if (members === undefined || members.length === 0) return noMembers;
  return [...members].sort((a, b) => a.nodeId - b.nodeId);
}

function isUint(value: number, min: number, max: number): boolean {
  return Number.isSafeInteger(value) && value >= min && value <= max;
}

/** Which invariant the parts break, as a sentence; null where they make a configuration. Parts may come from a peer. */
export function configurationProblem(parts: ConfigurationParts): string | null {
  const { voters, votersOutgoing = noMembers, learners = noMembers } = parts;
  const { learnersNext = noMembers } = parts;
  if (!isUint(parts.leaseMs ?? 0, 0, leaseMsMax)) {
    return `a lease takes 0 to ${leaseMsMax} ms, not ${parts.leaseMs}`;
  }
  for (const list of [voters, votersOutgoing, learners, learnersNext]) {
    const problem = listProblem(list);
    if (problem !== null) return problem;
  }
  const onlyOutgoing = votersOutgoing.filter(({ nodeId }) => find(voters, nodeId) === null);
  if (voters.length + onlyOutgoing.length > votersMax) {
    return `at most ${votersMax} nodes vote, not ${voters.length + onlyOutgoing.length}`;
  }
  if (voters.length + onlyOutgoing.length + learners.length > membersMax) {
    return `at most ${membersMax} nodes are members`;
  }
  for (const member of votersOutgoing) {
    const incoming = find(voters, member.nodeId);
    if (incoming !== null && !sameMember(incoming, member)) {
      return `node ${member.nodeId} has two identities`;
    }
  }
  for (const { nodeId } of learners) {
    if (find(voters, nodeId) !== null || find(votersOutgoing, nodeId) !== null) {
      return `node ${nodeId} is a learner and votes`;
    }
  }
  for (const member of learnersNext) {
    const outgoing = find(onlyOutgoing, member.nodeId);
    if (outgoing === null || !sameMember(outgoing, member)) {
      return `node ${member.nodeId} becomes a learner without being an outgoing voter only`;
    }
  }
  if (votersOutgoing.length === 0) {
    return parts.autoLeave === true ? 'only a joint configuration leaves by itself' : null;
  }
  return voters.length === 0 ? 'a joint configuration has no incoming voter' : null;
}

function listProblem(members: readonly Member[]): string | null {
  if (members.length > membersMax) return `a list holds at most ${membersMax} members`;
  const seen = new Set<number>();
  for (const { nodeId, generation, instance } of members) {
    if (!isUint(nodeId, 1, uint32Max)) return `not a node id: ${nodeId}`;
    if (!isUint(generation, 1, uint32Max)) return `not a generation: ${generation}`;
    if (!isUint(instance, 0, Number.MAX_SAFE_INTEGER)) return `not an instance: ${instance}`;
    if (seen.has(nodeId)) return `node ${nodeId} stands twice in a list`;
    seen.add(nodeId);
  }
  return null;
}
