// What a host does about the members of its groups besides stepping cores: it holds connections against the instances
// that configurations name, asks nodes that are to join, answers such questions, and tells replicas that were removed
// while they were away that they are no members any more.
//
// What ends a replica that missed its removal: a member's word that a configuration committed at index c leaves it out,
// where the replica was a member by what is committed below c. Then it was removed at c or before, and for good: who comes
// back comes as a new generation. A question that is late finds a replica that has committed c, and changes nothing.
//
// What keeps that true: a generation is named once. Ready to join is only a replica that holds nothing yet, and that was
// told so by nobody beside an earlier configuration: whoever it said "ready" to may have named it, and others may have
// left it out again, without a word of either coming here. Added again under its old generation, it would end as a
// member, as soon as it learns of what it missed.

import { type MessageKind, messageKinds, type RaftCore } from '@flotilla/core';
import type { Peer } from '@flotilla/transport';
import type { LeaseGuard } from './lease-guard.ts';
import type { MemberProgress } from './membership.ts';
import { MembershipDesk, type MembershipParts } from './membership-desk.ts';
import {
  answerAt,
  encodeAnswer,
  encodeQuestion,
  isBeat,
  memberRecordTypes,
  questionAt,
} from './member-wire.ts';
import type { PeerLink } from './peer-link.ts';
import { neverAsked, type Replica } from './replica.ts';
import type { ReplicaTable } from './replica-table.ts';

/** Token of a question whose answer nobody waits for. */
const noticeToken = 1;

export interface MembersEvents {
  /** The replica is no member any more, and another host says so. */
  remove(replica: Replica): void;
  /** Another configuration counts, or the one that does is committed now. */
  onMembershipChanged(replica: Replica): void;
}

export class Members {
  readonly desk: MembershipDesk;
  readonly #parts: MembershipParts;
  readonly #table: ReplicaTable;
  readonly #leases: LeaseGuard;
  readonly #events: MembersEvents;

  constructor(
    parts: MembershipParts,
    table: ReplicaTable,
    leases: LeaseGuard,
    events: MembersEvents,
  ) {
    this.desk = new MembershipDesk(parts);
    this.#parts = parts;
    this.#table = table;
    this.#leases = leases;
    this.#events = events;
  }

  /** Another configuration counts for the replica than before. */
  configured(replica: Replica): void {
    const { configuration } = replica.core;
    const namesInstances = configuration.members().some(({ instance }) => instance !== 0);
    replica.isConfigurationSettled = replica.core.configurationIndex <= replica.core.commitIndex;
    this.#table.setGuarded(replica.number, namesInstances);
    if (configuration.leaseMs > 0) this.#leases.watch(configuration.leaseMs);
    this.#events.onMembershipChanged(replica);
  }

  /** The commit index moved while the configuration that counts was not known to be committed. */
  committed(replica: Replica): void {
    if (replica.core.commitIndex < replica.core.configurationIndex) return;
    replica.isConfigurationSettled = true;
    this.#events.onMembershipChanged(replica);
  }

  /** Whether the peer's data directory is the one that the replica's configuration names for its node. */
  mayTalk(replica: Replica, peer: Peer): boolean {
    if (!this.#table.isGuarded(replica.number)) return true;
    const instance = replica.core.configuration.memberOf(peer.nodeId)?.instance ?? 0;
    return instance === 0 || instance === peer.instance;
  }

  /**
   * A replica of node `nodeId` campaigns: where it is no member any more, it may not have heard of that. Whoever knows
   * says so, leader or not: where nobody checks for a quorum, its campaign has just deposed the leader.
   */
  campaigned({ core, generation, groupId }: Replica, nodeId: number): void {
    if (core.configurationIndex > core.commitIndex || core.configurationIndex === 0) return;
    if (core.configuration.memberOf(nodeId) !== null) return;
    this.#parts.linkOf(nodeId)?.addRecord(
      encodeQuestion({
        groupId,
        fromGeneration: generation,
        configurationIndex: core.configurationIndex,
        token: noticeToken,
      }),
    );
    this.#parts.stepper.wake();
  }

  /** A record of member-wire.ts; answers what is wrong with it, if it breaks the protocol. */
  receive(link: PeerLink, peer: Peer, bytes: Uint8Array, at: number): string | null {
    if (isBeat(bytes, at)) return null;
    if (bytes[at] === memberRecordTypes.question) return this.#asked(link, bytes, at);
    const answer = answerAt(bytes, at);
    if (answer === null) return 'an answer about members holds a number that cannot be one';
    const replica = this.#table.find(answer.groupId);
    if (replica === undefined || replica.isEnded) return null;
    if (replica.generation === answer.toGeneration) {
      this.desk.answered(replica, peer.nodeId, peer.instance, answer);
    }
    return null;
  }

  #asked(link: PeerLink, bytes: Uint8Array, at: number): string | null {
    const question = questionAt(bytes, at);
    if (question === null) return 'a question about members holds a number that cannot be one';
    const { groupId, fromGeneration, configurationIndex, token } = question;
    let replica = this.#table.find(groupId);
    if (replica?.core.wasMember === true) {
      if (configurationIndex <= replica.core.commitIndex) return null;
      this.#events.remove(replica);
      replica = undefined;
    }
    const isReady = replica !== undefined && saysReady(replica, configurationIndex);
    link.addRecord(
      encodeAnswer({
        groupId,
        generation: replica?.generation ?? 1,
        toGeneration: fromGeneration,
        token,
        isReady,
      }),
    );
    this.#parts.stepper.wake();
    return null;
  }
}

/** Whether the replica may be added behind the configuration committed at that index. If so, then behind no other one. */
function saysReady(replica: Replica, index: number): boolean {
  const { core, isDurable, isEnded, readyAt } = replica;
  const isUnused = readyAt === neverAsked || readyAt === index;
  if (!isDurable || isEnded || core.lastIndex !== 0 || !isUnused) return false;
  replica.readyAt = index;
  return true;
}

/** Whether the kind answers a request: those count only from the very members that a configuration names. */
export function isAnswer(kind: MessageKind): boolean {
  switch (kind) {
    case messageKinds.appendAnswer:
    case messageKinds.heartbeatAnswer:
    case messageKinds.preVoteAnswer:
    case messageKinds.voteAnswer:
    case messageKinds.readIndexAnswer:
      return true;
    default:
      return false;
  }
}

/** What a leader knows of the other members; null on any other replica. */
export function progressOf(core: RaftCore): readonly MemberProgress[] | null {
  if (core.role !== 'leader') return null;
  const progress: MemberProgress[] = [];
  for (const { nodeId } of core.configuration.members()) {
    const known = core.progress(nodeId);
    if (known === null) continue;
    const { generation, match, awaitsSnapshot, isProbing, isLearner } = known;
    const state = awaitsSnapshot ? 'awaitsSnapshot' : isProbing ? 'probing' : 'replicating';
    progress.push({ nodeId, generation, isVoter: !isLearner, matchIndex: match, state });
  }
  return progress;
}
