// What the witness of a run knows of one group's configurations: every one that any replica said counts for it, by its
// place in the log. Together with the chain of terms that tells which of them a log may have in force.
//
//   S10  a leader appends a configuration only where the one before it is committed, and an entry of its own term; it is a
//        neighbour of that one (one voter differs, or the joint one that leads on, or the one that leaves it)

import type { Member } from '@flotilla/core';
import type { Membership } from '@flotilla/host';
import type { LogChain } from './log-chain.ts';

export interface KnownConfiguration {
  readonly index: number;
  readonly term: number;
  readonly membership: Membership;
}

export class KnownConfigurations {
  /** In the order in which they were heard of. */
  readonly all: KnownConfiguration[] = [];

  constructor(initial: Membership) {
    this.all.push({ index: 0, term: 0, membership: initial });
  }

  find(index: number, term: number): KnownConfiguration | undefined {
    return this.all.find((known) => known.index === index && known.term === term);
  }

  add(membership: Membership): KnownConfiguration {
    const known = { index: membership.index, term: membership.term, membership };
    this.all.push(known);
    return known;
  }

  /** The last configuration in the log that holds (last, lastTerm); null where the chain does not tell. */
  inForce(last: number, lastTerm: number, chain: LogChain): KnownConfiguration | null {
    let found: KnownConfiguration | null = null;
    for (const known of this.all) {
      if (known.index > last || (found !== null && known.index <= found.index)) continue;
      const there = known.index === 0 ? 0 : chain.termAt(known.index, last, lastTerm);
      if (there === null) return null;
      if (there === known.term) found = known;
    }
    return found;
  }

  /**
   * Those that the log of the leader of `term` may have had in force while it held `index` as its newest committed entry:
   * the one in force there, and later ones of that log. Where the chain does not tell, all.
   */
  since(index: number, term: number, chain: LogChain): readonly KnownConfiguration[] {
    if (this.all.length === 1) return this.all;
    const from = this.inForce(index, term, chain);
    if (from === null) return this.all;
    return this.all.filter(
      (known) =>
        known === from ||
        (known.index > from.index &&
          (chain.termAt(known.index, Number.MAX_SAFE_INTEGER, term) ?? known.term) === known.term),
    );
  }
}

/** The membership of a group that begins with these voters. */
export function initialMembership(nodeIds: readonly number[]): Membership {
  const voters = nodeIds.map((nodeId) => ({ nodeId, generation: 1, instance: 0 }));
  const lists = { votersOutgoing: [], learners: [], learnersNext: [] };
  return { voters, ...lists, leaseMs: 0, index: 0, term: 0, isCommitted: true };
}

/** Whether the members for which `holds` is true are a majority of the voters, of both halves where there are two. */
export function isQuorum(membership: Membership, holds: (member: Member) => boolean): boolean {
  const isMajority = (voters: readonly Member[]): boolean =>
    2 * voters.filter(holds).length > voters.length;
  const { voters, votersOutgoing } = membership;
  return isMajority(voters) && (votersOutgoing.length === 0 || isMajority(votersOutgoing));
}

/** The node that decides alone, 0 = there is none. */
export function soleVoterOf({ voters, votersOutgoing }: Membership): number {
  const [first] = voters;
  const isSole = [...voters, ...votersOutgoing].every(({ nodeId }) => nodeId === first?.nodeId);
  return isSole && first !== undefined ? first.nodeId : 0;
}

/** The member of that node in any part. */
export function memberIn(membership: Membership, nodeId: number): Member | undefined {
  const { voters, votersOutgoing, learners } = membership;
  return [...voters, ...votersOutgoing, ...learners].find((member) => member.nodeId === nodeId);
}

/** Why `next` cannot follow `previous` in a log, or null. */
export function notNeighbours(previous: Membership, next: Membership): string | null {
  const isJoint = (membership: Membership): boolean => membership.votersOutgoing.length > 0;
  if (isJoint(previous)) {
    if (isJoint(next)) return 'a joint configuration follows a joint one';
    const learners = [...previous.learners, ...previous.learnersNext];
    const isLeft = isSame(previous.voters, next.voters) && isSame(learners, next.learners);
    return isLeft ? null : 'it leaves a joint configuration for another one than its incoming half';
  }
  if (isJoint(next)) {
    const isFrom = isSame(previous.voters, next.votersOutgoing);
    return isFrom ? null : 'its outgoing half is not the configuration before';
  }
  const came = next.voters.filter((voter) => !includes(previous.voters, voter));
  const went = previous.voters.filter((voter) => !includes(next.voters, voter));
  return came.length + went.length <= 1 ? null : 'more than one voter differs, in one step';
}

function includes(members: readonly Member[], { nodeId, generation }: Member): boolean {
  return members.some((other) => other.nodeId === nodeId && other.generation === generation);
}

function isSame(a: readonly Member[], b: readonly Member[]): boolean {
  return a.length === b.length && a.every((member) => includes(b, member));
}
