// What arrives from peers: takes frames apart, checks each record before anything is believed, and hands it on: to the
// members' room what is about membership, to the steady lane what needs no step, to the engine's step what is left.
// Bytes are good only until take() returns.

import { frameKinds } from '@flotilla/codec';
import { type Message, messageKinds, type SteadyRows } from '@flotilla/core';
import type { Peer, ReceivedFrame } from '@flotilla/transport';
import type { Wal } from '@flotilla/wal';
import type { IncomingAppend } from './incoming-append.ts';
import { isBeat } from './member-wire.ts';
import { isAnswer, type Members } from './members.ts';
import type { EngineCounters } from './metrics.ts';
import type { PeerLink } from './peer-link.ts';
import { type Prefetch, prefetchCount } from './prefetch.ts';
import type { Replica } from './replica.ts';
import type { ReplicaTable } from './replica-table.ts';
import type { SteadyLane } from './steady-lane.ts';
import { walPendingBytesMax } from './submission-desk.ts';
import {
  answerHintTerm,
  answerIndex,
  answerStream,
  isGrantedAnswer,
  isHostRecord,
  messageBytesAt,
  messageFromGeneration,
  messageGroupId,
  messageKindAt,
  messageSharedAt,
  messageTerm,
  messageToGeneration,
  readMessage,
} from './wire.ts';

/** Bytes laid and not durable above which a follower takes no entries. */
const walHeldBytesMax = 2 * walPendingBytesMax;

const { append, appendAnswer, preVote, vote } = messageKinds;

export interface InboxParts {
  readonly table: ReplicaTable;
  readonly rows: SteadyRows;
  readonly lane: SteadyLane;
  readonly incoming: IncomingAppend;
  readonly members: Members;
  readonly prefetch: Prefetch;
  readonly wal: Wal;
  readonly counters: EngineCounters;
  /** Steps the replica's core for the inbox's message. */
  readonly step: (replica: Replica) => void;
  readonly failReplica: (replica: Replica, cause: unknown) => void;
}

export class Inbox {
  readonly #parts: InboxParts;
  /** The message that is being taken; its entries stand in IncomingAppend. */
  readonly #message: Message;
  #nowMs = 0;

  constructor(message: Message, parts: InboxParts) {
    this.#message = message;
    this.#parts = parts;
  }

  take(link: PeerLink, frame: ReceivedFrame, nowMs: number): void {
    this.#nowMs = nowMs;
    const { prefetch } = this.#parts;
    const { peer } = link;
    const isAppend = frame.kind === frameKinds.append;
    const { words } = frame;
    const end = frame.headsEnd;
    let at = isAppend ? frame.at + 8 : frame.at;
    let records = 0;
    while (at < end) {
      if (records % prefetchCount === 0) prefetch.records(words, at, end);
      const recordBytes = messageBytesAt(words, at, end);
      const problem =
        recordBytes === 0 || (messageKindAt(words, at) === append) !== isAppend
          ? 'a frame holds a record that does not belong there'
          : this.#receive(link, frame, at);
      if (problem !== null) {
        peer.reject(problem);
        break;
      }
      at += recordBytes;
      records++;
    }
    if (at >= end && records !== frame.records)
      peer.reject('a frame holds another number of records than it says');
  }

  /** Takes one record; answers what is wrong with it, if it breaks the protocol. */
  #receive(link: PeerLink, frame: ReceivedFrame, at: number): string | null {
    const { counters, members, table } = this.#parts;
    const { peer } = link;
    const { words } = frame;
    const message = this.#message;
    counters.messagesReceived++;
    if (isHostRecord(words, at)) {
      if (frame.kind === frameKinds.control) return members.receive(link, peer, frame.bytes, at);
      return isBeat(frame.bytes, at) ? null : 'a frame holds a record that does not belong there';
    }
    if (isGrantedAnswer(words, at) && this.#takeAnswer(peer, words, at)) return null;
    if (!readMessage(words, at, message)) return 'a message holds a number that cannot be one';
    const groupId = messageGroupId(words, at);
    const number = table.numberOf(groupId);
    if (number < 0) {
      counters.unknownGroupMessages++;
      return groupId < 0 ? 'a group id is above 2^53 - 1' : null;
    }
    const isForUs = messageToGeneration(words, at) === table.generationOf(number);
    const isGuarded = table.isGuarded(number);
    const replica = table.all[number] as Replica;
    const isTrusted = !isGuarded || !isAnswer(message.kind) || members.mayTalk(replica, peer);
    if (!isForUs || replica.isEnded || !isTrusted) {
      counters.messagesDropped++;
      return null;
    }
    message.from = peer.nodeId;
    message.to = 0;
    if (message.kind === append) {
      const problem = this.#checkAppend(groupId, frame, at);
      if (problem !== null) {
        counters.messagesDropped++;
        return problem === notNow ? null : problem;
      }
    }
    if (this.#takeSteadily(replica, peer)) return null;
    this.#parts.step(replica);
    const isCampaign = message.kind === preVote || message.kind === vote;
    if (isCampaign) members.campaigned(replica, peer.nodeId);
    return null;
  }

  /**
   * Takes a granted answer to a steady leader from the record as it stands: with many groups they are two of three messages
   * that a leader gets. False where it must be looked at as a message.
   */
  #takeAnswer({ nodeId }: Peer, words: Int32Array, at: number): boolean {
    const { lane, table } = this.#parts;
    const number = table.numberOf(messageGroupId(words, at));
    if (number < 0 || table.isGuarded(number)) return false;
    const generation = messageFromGeneration(words, at);
    const term = messageTerm(words, at);
    const index = answerIndex(words, at);
    const isSound = generation >= 1 && term >= 0 && index >= 0 && answerHintTerm(words, at) >= 0;
    if (!isSound || messageToGeneration(words, at) !== table.generationOf(number)) return false;
    const stream = answerStream(words, at);
    return lane.takeAnswer(number, nodeId, generation, term, stream, index, this.#nowMs);
  }

  #checkAppend(groupId: number, frame: ReceivedFrame, at: number): string | null {
    const { incoming, wal } = this.#parts;
    const message = this.#message;
    const hasEntries = message.lastIndex > message.prevIndex;
    // Where the disk does not keep up, the leader finds the gap by its next empty append.
    if (hasEntries && wal.pendingBytes > walHeldBytesMax) return notNow;
    const sharedAt = frame.headsEnd + messageSharedAt(frame.words, at);
    const { recordBytesMax } = wal;
    return incoming.check(message, groupId, frame, sharedAt, recordBytesMax);
  }

  /** Takes what needs no step, if it is such. */
  #takeSteadily(replica: Replica, peer: Peer): boolean {
    const { failReplica, lane, rows } = this.#parts;
    const message = this.#message;
    if (!rows.isLent(replica.number)) return false;
    try {
      if (message.kind === append) return lane.takeAppend(replica, message, this.#nowMs);
      if (message.kind !== appendAnswer || !message.granted) return false;
      const { fromGeneration, index, stream, term } = message;
      const { nodeId } = peer;
      const { number } = replica;
      return lane.takeAnswer(number, nodeId, fromGeneration, term, stream, index, this.#nowMs);
    } catch (error) {
      failReplica(replica, error);
      return true;
    }
  }
}

/** In place of a problem: dropped, and nobody is to blame. */
const notNow = '';
