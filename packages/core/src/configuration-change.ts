// Changes of a configuration as pure functions (Raft §6, thesis §4.1-4.3): one step, into a joint configuration, and out
// of one. Nothing here knows a log; when a change may be made at all is the leader's matter (membership.ts).
//
// What keeps two majorities from deciding apart:
// 1. A one-step change alters at most one voter: any majority of the one configuration meets any majority of the other.
// 2. Every other change passes through a joint configuration, in which both halves must agree.
// 3. A voter that becomes a learner inside a joint configuration votes in the outgoing half until that is left; it is
//    noted in `learnersNext`, so that no node is ever learner and voter at once.
// 4. The last voter stays.
// 5. A node keeps its identity as long as it is a member: a new replica of it needs the old one removed first.

import {
  Configuration,
  configurationProblem,
  type Member,
  membersMax,
  sameMember,
} from './configuration.ts';
import { votersMax } from './quorum.ts';

/** One wish of a change; several are carried out in order, and a later one for the same node decides. */
export type MemberChange =
  /** Adds a voter, or makes a learner one. */
  | { readonly kind: 'voter'; readonly member: Member }
  /** Adds a learner, or makes a voter one. */
  | { readonly kind: 'learner'; readonly member: Member }
  /** Removes a member; a node that is none is no error. */
  | { readonly kind: 'remove'; readonly nodeId: number };

export type ChangeRefusal =
  | 'removedAllVoters'
  | 'moreThanOneVoterChanged'
  | 'notJoint'
  | 'alreadyJoint'
  | 'simpleInJoint'
  | 'zeroVoterJoint'
  | 'identityConflict'
  | 'tooManyMembers';

export type ChangeResult =
  | { readonly ok: true; readonly configuration: Configuration }
  | { readonly ok: false; readonly refusal: ChangeRefusal };

/** The lists under change, by node id. */
interface Draft {
  readonly from: Configuration;
  readonly voters: Map<number, Member>;
  readonly outgoing: ReadonlyMap<number, Member>;
  readonly learners: Map<number, Member>;
  readonly learnersNext: Map<number, Member>;
}

/** One step: any number of learners, at most one voter. */
export function applySimple(from: Configuration, changes: readonly MemberChange[]): ChangeResult {
  if (from.isJoint) return refuse('simpleInJoint');
  const draft = draftOf(from, new Map());
  const refusal = carryOut(draft, changes);
  if (refusal !== null) return refuse(refusal);
  let changed = 0;
  for (const nodeId of draft.voters.keys()) if (from.bitOf(nodeId) === 0) changed++;
  for (const { nodeId } of from.voters) if (!draft.voters.has(nodeId)) changed++;
  if (changed > 1) return refuse('moreThanOneVoterChanged');
  return finish(draft, false);
}

/** Into the joint configuration whose outgoing half is the present one. */
export function enterJoint(
  from: Configuration,
  changes: readonly MemberChange[],
  autoLeave: boolean,
): ChangeResult {
  if (from.isJoint) return refuse('alreadyJoint');
  if (from.voters.length === 0) return refuse('zeroVoterJoint');
  const draft = draftOf(from, byNode(from.voters));
  const refusal = carryOut(draft, changes);
  return refusal !== null ? refuse(refusal) : finish(draft, autoLeave);
}

/** Out of a joint configuration: its outgoing half goes, learners-to-be become learners. */
export function leaveJoint(from: Configuration): ChangeResult {
  if (!from.isJoint) return refuse('notJoint');
  const learners = [...from.learners, ...from.learnersNext];
  const { voters, leaseMs } = from;
  return { ok: true, configuration: new Configuration({ voters, learners, leaseMs }) };
}

function refuse(refusal: ChangeRefusal): ChangeResult {
  return { ok: false, refusal };
}

function byNode(members: readonly Member[]): Map<number, Member> {
  return new Map(members.map((member) => [member.nodeId, member]));
}

function draftOf(from: Configuration, outgoing: ReadonlyMap<number, Member>): Draft {
  return {
    from,
    voters: byNode(from.voters),
    outgoing,
    learners: byNode(from.learners),
    learnersNext: byNode(from.learnersNext),
  };
}

function carryOut(draft: Draft, changes: readonly MemberChange[]): ChangeRefusal | null {
  for (const change of changes) {
    if (change.kind === 'remove') {
      remove(draft, change.nodeId);
      continue;
    }
    const { member } = change;
    // Also where the change removes the old replica first: both would count for one node, and their logs differ.
    const present = draft.from.memberOf(member.nodeId);
    if (present !== null && !sameMember(present, member)) return 'identityConflict';
    if (change.kind === 'voter') makeVoter(draft, member);
    else makeLearner(draft, member);
  }
  return draft.voters.size === 0 ? 'removedAllVoters' : null;
}

function makeVoter(draft: Draft, member: Member): void {
  draft.learners.delete(member.nodeId);
  draft.learnersNext.delete(member.nodeId);
  draft.voters.set(member.nodeId, member);
}

function makeLearner(draft: Draft, member: Member): void {
  remove(draft, member.nodeId);
  if (draft.outgoing.has(member.nodeId)) draft.learnersNext.set(member.nodeId, member);
  else draft.learners.set(member.nodeId, member);
}

function remove(draft: Draft, nodeId: number): void {
  draft.voters.delete(nodeId);
  draft.learners.delete(nodeId);
  draft.learnersNext.delete(nodeId);
}

function finish(draft: Draft, autoLeave: boolean): ChangeResult {
  const parts = {
    voters: [...draft.voters.values()],
    votersOutgoing: [...draft.outgoing.values()],
    learners: [...draft.learners.values()],
    learnersNext: [...draft.learnersNext.values()],
    autoLeave,
    leaseMs: draft.from.leaseMs,
  };
  const voting = new Set([...draft.voters.keys(), ...draft.outgoing.keys()]).size;
  if (voting > votersMax || voting + parts.learners.length > membersMax) {
    return refuse('tooManyMembers');
  }
  const problem = configurationProblem(parts);
  if (problem !== null) throw new RangeError(`change: ${problem}`);
  return { ok: true, configuration: new Configuration(parts) };
}
