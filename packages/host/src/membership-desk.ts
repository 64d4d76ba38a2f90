// Callers who change the membership of a group that this host leads, and what they are told.
//
//   asking    nodes that are new are asked for the generation of their next replica; the entry names it together with the
//             instance that their connection has proven
//   waiting   the change stands in the log; it is done when its configuration is committed, and where that is a joint
//             one, when the one that leaves it is
//
// Until the entry is laid every refusal says that nothing was changed. Afterwards a lost leadership makes the outcome
// unknown: the next leader finishes the change or replaces it. A group has one call at a time; the core allows one
// uncommitted change.

import type { Member, MemberChange, Refusal } from '@flotilla/core';
import type { Clock, Timer } from '@flotilla/io';
import { encodeQuestion, type MemberAnswer } from './member-wire.ts';
import {
  type ChangeRequest,
  decodeChange,
  type MembershipProblem,
  membershipProblems,
} from './membership.ts';
import type { PeerLink } from './peer-link.ts';
import { type CompletionBatch, statusOf, statusOk } from './port.ts';
import type { Replica } from './replica.ts';
import type { Stepper } from './submission-desk.ts';

const notLeader = statusOf('NOT_LEADER');
const inProgress = statusOf('CONFIG_IN_PROGRESS');
const invalid = statusOf('MEMBERSHIP_INVALID');
const notReady = statusOf('MEMBER_NOT_READY');
const outcomeUnknown = statusOf('OUTCOME_UNKNOWN');

/** A question that is not answered is asked again after this long; frames that cannot be sent are dropped. */
const askMs = 100;
/** A new member that has not answered after this long is given up. */
const patienceMs = 5000;

/** What the core's refusals are called outside; others cannot come out of a change. */
const problemOfRefusal: Partial<Record<Refusal, MembershipProblem>> = {
  removedAllVoters: 'empty',
  zeroVoterJoint: 'empty',
  tooManyMembers: 'tooMany',
  identityConflict: 'identity',
  noOwnCommit: 'noOwnCommit',
  changeInProgress: 'changeInProgress',
  alreadyJoint: 'changeInProgress',
  simpleInJoint: 'changeInProgress',
};

interface Pending {
  readonly ticket: number;
  readonly request: ChangeRequest;
  readonly token: number;
  readonly dueMs: number;
  /** New nodes, and what they answered. */
  readonly asked: Map<number, Member | null>;
  /** One of them answered, and has no replica that waits. */
  lacksReplica: boolean;
  /** Of the entry, 0 = not laid yet. */
  index: number;
  term: number;
}

export interface MembershipParts {
  readonly clock: Clock;
  readonly completions: CompletionBatch;
  readonly linkOf: (nodeId: number) => PeerLink | undefined;
  readonly stepper: Stepper;
}

export class MembershipDesk {
  readonly #parts: MembershipParts;
  /** Empty nearly always. */
  readonly #pending = new Map<Replica, Pending>();
  #tokenLast = 0;
  #timer: Timer | null = null;

  constructor(parts: MembershipParts) {
    this.#parts = parts;
  }

  /** Whether no call waits: then nobody needs to tell this desk anything. */
  get isIdle(): boolean {
    return this.#pending.size === 0;
  }

  start(replica: Replica, ticket: number, bytes: Uint8Array, at: number): void {
    const { core } = replica;
    if (replica.isEnded) return this.#settle(ticket, replica.endStatus, 0);
    if (core.role !== 'leader') return this.#settle(ticket, notLeader, core.leader);
    if (core.transferTo !== 0) return this.#settle(ticket, notLeader, core.transferTo);
    if (this.#pending.has(replica)) return this.#refuse(ticket, inProgress, 'changeInProgress');
    const request = decodeChange(bytes, at);
    const { configuration } = core;
    const added = [...request.voters, ...request.learners].filter(
      (nodeId) => configuration.memberOf(nodeId) === null,
    );
    const problem = this.#problemOf(replica, request, added);
    if (problem !== null) return this.#refuse(ticket, invalid, problem);
    // Asked before the nodes are: their answers mean something only beside a configuration that stands.
    if (core.configurationIndex > core.commitIndex) {
      return this.#refuse(ticket, inProgress, 'changeInProgress');
    }
    const pending: Pending = {
      ticket,
      request,
      token: ++this.#tokenLast,
      dueMs: this.#parts.clock.monotonicMs() + patienceMs,
      asked: new Map(added.map((nodeId) => [nodeId, null])),
      lacksReplica: false,
      index: 0,
      term: 0,
    };
    this.#pending.set(replica, pending);
    if (added.length === 0) return this.#configure(replica, pending);
    this.#ask(replica, pending);
    this.#arm();
  }

  #problemOf(
    replica: Replica,
    request: ChangeRequest,
    added: readonly number[],
  ): MembershipProblem | null {
    const { core } = replica;
    if (added.some((nodeId) => this.#parts.linkOf(nodeId) === undefined)) return 'unknownNode';
    if (request.remove.some((nodeId) => core.configuration.memberOf(nodeId) === null)) {
      return 'notMember';
    }
    // There are no snapshots yet: who needs one would never be filled, and as a voter it would only weigh on the others.
    if (added.length > 0 && core.firstIndex > 1) return 'needsSnapshot';
    const isStuck = (nodeId: number): boolean => core.progress(nodeId)?.awaitsSnapshot === true;
    return request.voters.some(isStuck) ? 'needsSnapshot' : null;
  }

  #ask(replica: Replica, pending: Pending): void {
    const { core, generation, groupId } = replica;
    const question = encodeQuestion({
      groupId,
      fromGeneration: generation,
      configurationIndex: core.configurationIndex,
      token: pending.token,
    });
    for (const [nodeId, member] of pending.asked) {
      if (member === null) this.#parts.linkOf(nodeId)?.addRecord(question);
    }
    this.#parts.stepper.wake();
  }

  #arm(): void {
    if (this.#timer !== null) return;
    const { clock } = this.#parts;
    this.#timer = clock.at(clock.monotonicMs() + askMs, () => {
      this.#timer = null;
      this.#askAgain();
    });
  }

  #askAgain(): void {
    const nowMs = this.#parts.clock.monotonicMs();
    let isAsking = false;
    for (const [replica, pending] of this.#pending) {
      if (pending.index > 0) continue;
      if (nowMs < pending.dueMs) {
        isAsking = true;
        this.#ask(replica, pending);
        continue;
      }
      this.#pending.delete(replica);
      const why = pending.lacksReplica ? 'noReplica' : 'unreachable';
      this.#refuse(pending.ticket, notReady, why);
    }
    if (isAsking) this.#arm();
  }

  /** A node answered a question about `replica`'s group; `instance` is what its connection has proven. */
  answered(replica: Replica, nodeId: number, instance: number, answer: MemberAnswer): void {
    const pending = this.#pending.get(replica);
    if (pending === undefined || pending.index > 0 || pending.token !== answer.token) return;
    if (pending.asked.get(nodeId) !== null) return;
    if (!answer.isReady) {
      // Asked again until the time is over: it may be about to be created.
      pending.lacksReplica = true;
      return;
    }
    pending.asked.set(nodeId, { nodeId, generation: answer.generation, instance });
    for (const member of pending.asked.values()) if (member === null) return;
    this.#configure(replica, pending);
  }

  #configure(replica: Replica, pending: Pending): void {
    const { request, asked } = pending;
    const { configuration } = replica.core;
    const memberOf = (nodeId: number): Member =>
      (asked.get(nodeId) ?? configuration.memberOf(nodeId)) as Member;
    const changes: MemberChange[] = [
      ...request.remove.map((nodeId): MemberChange => ({ kind: 'remove', nodeId })),
      ...request.learners.map(
        (nodeId): MemberChange => ({ kind: 'learner', member: memberOf(nodeId) }),
      ),
      ...request.voters.map(
        (nodeId): MemberChange => ({ kind: 'voter', member: memberOf(nodeId) }),
      ),
    ];
    const { leaseMs } = request;
    this.#parts.stepper.step(replica, {
      kind: 'configure',
      transition: 'auto',
      changes,
      ...(leaseMs === undefined ? {} : { leaseMs }),
    });
  }

  /** Of the step of a change: the index of its entry, or why it was not taken. */
  stepped(replica: Replica, index: number, refusal: Refusal | null): void {
    const pending = this.#pending.get(replica);
    if (pending === undefined) return;
    if (refusal === null) {
      pending.index = index;
      pending.term = replica.core.term;
      return;
    }
    this.#pending.delete(replica);
    const { core } = replica;
    if (refusal === 'notLeader') return this.#settle(pending.ticket, notLeader, core.leader);
    if (refusal === 'transferring') return this.#settle(pending.ticket, notLeader, core.transferTo);
    const problem = problemOfRefusal[refusal] ?? 'changeInProgress';
    const isLater = problem === 'noOwnCommit' || problem === 'changeInProgress';
    this.#refuse(pending.ticket, isLater ? inProgress : invalid, problem);
  }

  /** The commit index moved, or role, term or leader of the replica changed. */
  changed(replica: Replica): void {
    const pending = this.#pending.get(replica);
    if (pending === undefined) return;
    const { core } = replica;
    const { index, term, ticket } = pending;
    if (index > 0 && core.commitIndex >= index && core.termAt(index) === term) {
      // The entry is committed; a joint one is done when what it leads to is.
      const isLeft = !(core.configuration.isJoint && core.configuration.autoLeave);
      if (isLeft && core.commitIndex >= core.configurationIndex) {
        this.#pending.delete(replica);
        this.#parts.completions.add(ticket, statusOk, index, term, null);
        return;
      }
    }
    if (core.role === 'leader' && (index === 0 || core.term === term)) return;
    this.#pending.delete(replica);
    if (index > 0) this.#settle(ticket, outcomeUnknown, 0);
    else this.#settle(ticket, notLeader, core.leader);
  }

  /** The replica has ended. */
  refuse(replica: Replica, status: number): void {
    const pending = this.#pending.get(replica);
    if (pending === undefined) return;
    this.#pending.delete(replica);
    this.#settle(pending.ticket, pending.index > 0 ? outcomeUnknown : status, 0);
  }

  /** The host ends. */
  stop(): void {
    this.#timer?.cancel();
    this.#timer = null;
  }

  #refuse(ticket: number, status: number, problem: MembershipProblem): void {
    this.#settle(ticket, status, membershipProblems.indexOf(problem));
  }

  #settle(ticket: number, status: number, detail: number): void {
    this.#parts.completions.add(ticket, status, detail, 0, null);
    this.#parts.stepper.wake();
  }
}
