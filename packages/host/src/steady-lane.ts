// The way that proposals, appends and answers of steady replicas take: by rows of numbers (the core's SteadyRows) and not
// through steps, which with thousands of groups cost above all the memory they fetch. What is not steady is refused, and
// the engine steps the core; a core that is steady after a step is lent again.
//
// What is carried out here is what the engine would carry out for the same step, in the same order: entries into the log,
// messages into the frames of peers, answers held until the turn's end is durable, commits applied at once.

import { frameKinds } from '@flotilla/codec';
import { Message, messageKinds, type SteadyRows, steadyResults } from '@flotilla/core';
import type { Wal } from '@flotilla/wal';
import type { ApplyQueue } from './apply-queue.ts';
import type { BlockWriter } from './block-writer.ts';
import type { IncomingAppend } from './incoming-append.ts';
import type { LiveFrames } from './live-frames.ts';
import type { Members } from './members.ts';
import type { PeerLink } from './peer-link.ts';
import type { PersistQueue } from './persist-queue.ts';
import type { Replica } from './replica.ts';

const { append, appendAnswer } = messageKinds;
const { committed, refused } = steadyResults;

export interface SteadyLaneParts {
  readonly rows: SteadyRows;
  readonly wal: Wal;
  readonly blocks: BlockWriter;
  readonly live: LiveFrames;
  readonly incoming: IncomingAppend;
  readonly apply: ApplyQueue;
  readonly persist: PersistQueue;
  readonly members: Members;
  /** By place. */
  readonly links: readonly PeerLink[];
  /** By handle number. */
  readonly replicas: readonly Replica[];
}

export class SteadyLane {
  readonly #parts: SteadyLaneParts;
  readonly #rows: SteadyRows;
  readonly #append: Message = new Message();
  readonly #answer: Message = new Message();

  constructor(parts: SteadyLaneParts) {
    this.#parts = parts;
    this.#rows = parts.rows;
    this.#answer.kind = appendAnswer;
    this.#answer.granted = true;
  }

  /** A steady leader, after SteadyRows.canPropose, has laid `count` commands behind its last entry. */
  proposed(replica: Replica, count: number, bytes: number, nowMs: number): void {
    const rows = this.#rows;
    const { blocks, live, members, persist } = this.#parts;
    const { number } = replica;
    const prevIndex = rows.lastIndex(number);
    const lastIndex = prevIndex + count;
    const term = rows.term(number);
    rows.propose(number, count, bytes, nowMs);
    const message = this.#append;
    message.kind = append;
    message.fromGeneration = replica.generation;
    message.term = term;
    message.prevIndex = prevIndex;
    message.prevTerm = term;
    message.commit = rows.commitIndex(number);
    message.lastIndex = lastIndex;
    message.entriesTerm = term;
    const sharedAt = live.offsetOf(blocks, prevIndex + 1, lastIndex);
    const peers = rows.peerCount(number);
    for (let k = 0; k < peers; k++) {
      const stream = rows.peerStream(number, k);
      if (stream < 0) continue;
      const link = this.#linkOf(rows.peerNodeId(number, k));
      if (link === null || !members.mayTalk(replica, link.peer)) continue;
      message.stream = stream;
      message.toGeneration = rows.peerGeneration(number, k);
      link.addNew(replica, message, sharedAt);
    }
    persist.noteSteady(number, term, lastIndex);
  }

  /**
   * Takes the answer of replica `generation` of node `nodeId` that granted `index` on `stream`, in `term`, to a steady
   * leader. False where its core must be stepped.
   */
  takeAnswer(
    number: number,
    nodeId: number,
    generation: number,
    term: number,
    stream: number,
    index: number,
    nowMs: number,
  ): boolean {
    const result = this.#rows.granted(number, nodeId, generation, term, stream, index, nowMs);
    if (result === committed) this.committed(this.#parts.replicas[number] as Replica);
    return result !== refused;
  }

  /** Takes an append, checked by IncomingAppend, that continues the log of a steady follower. False where its core must be stepped. */
  takeAppend(replica: Replica, message: Message, nowMs: number): boolean {
    const rows = this.#rows;
    const { groupId, number } = replica;
    const { entriesTerm, from, lastIndex, prevIndex, prevTerm, term } = message;
    const isSteady =
      lastIndex > prevIndex &&
      message.configurations.length === 0 &&
      rows.continues(number, from, term, prevIndex, prevTerm, entriesTerm);
    if (!isSteady) return false;
    const { incoming, members } = this.#parts;
    // What was there before is applied first, while it is what the log holds last of the group.
    const before = rows.commitUpTo(number, Math.min(message.commit, prevIndex));
    if (before === committed) this.committed(replica);
    if (replica.isEnded) return true;
    const result = rows.append(number, lastIndex, message.commit, nowMs);
    incoming.lay(replica, term, prevIndex + 1, lastIndex);
    const answer = this.#answer;
    answer.term = term;
    answer.index = lastIndex;
    answer.stream = message.stream;
    answer.fromGeneration = replica.generation;
    answer.toGeneration = message.fromGeneration;
    const link = this.#linkOf(from);
    if (link !== null && members.mayTalk(replica, link.peer)) {
      link.hold(answer, groupId, frameKinds.appendAnswer);
    }
    if (result === committed) this.committed(replica);
    return true;
  }

  /** The row of a steady replica has a new commit index. */
  committed(replica: Replica): void {
    const { apply, wal } = this.#parts;
    const commitIndex = this.#rows.commitIndex(replica.number);
    wal.noteCommit(replica.slot, commitIndex);
    apply.apply(replica, commitIndex);
  }

  #linkOf(nodeId: number): PeerLink | null {
    const { links } = this.#parts;
    for (let i = 0; i < links.length; i++) {
      const link = links[i] as PeerLink;
      if (link.peer.nodeId === nodeId) return link;
    }
    return null;
  }
}
