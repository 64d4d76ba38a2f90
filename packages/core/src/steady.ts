// The steady state of many cores as rows of numbers. A group that does nothing but replicate needs few numbers for it, and
// with thousands of groups what a step costs is above all the memory it has to fetch: so a core whose group is steady is
// lent to a row of its host's table, a few cache lines, where appends, answers, commits and quiet ticks are arithmetic.
//
// While a core is lent, the row says what is true, and the core catches up (`settle`) before anything else looks at it or
// steps it. Every operation here does what the core's step does for the same event, or refuses, and then the core is
// stepped; what a step does is defined there (replication.ts, follower.ts), and tests hold the two against each other.
//
// Steady leader: it has committed an entry of its term, and its committed configuration has one half, itself a voter, and
// nobody else but voters; it hands over to nobody, and nothing limits what it may have uncommitted. Every follower either
// has been sent all there is, or is silent: it is probed or lags, so that an append sends it nothing; what it holds is
// counted, and its answers are for the core.
// Steady follower: its log is its leader's, to the last entry, which is of this term.

import type { InflightWindow, Progress } from './progress.ts';
import { bitCount } from './quorum.ts';
import { type CoreState, newestToken } from './state.ts';

/** Numbers a row. The first three cache lines hold all that a group of three with one append under way needs. */
const rowNumbers = 56;

const kindAt = 0;
const termAt = 1;
const lastAt = 2;
const commitAt = 3;
/** When a tick is due, Infinity = never. */
const deadlineMsAt = 7;
// Leader.
const selfMatchAt = 4;
const heartbeatMsAt = 5;
/** A follower that has answered nothing for so long counts as lost: Infinity where the leader does not check. */
const silenceMsAt = 6;
/** When the last append left, -1 = none since it was lent. */
const sentMsAt = 8;
const peersAt = 9;
/** Copies that commit, the leader's own among them. */
const quorumAt = 10;
/** Appends that not every follower has answered, oldest first: last index and bytes of each. */
const inflightAt = 11;
const firstInflightAt = 12;
/** When the first heartbeat is due, if no append leaves before; -Infinity = every tick is for the core. */
const heartbeatDueMsAt = 14;
/** The same for the silent followers alone, whose heartbeats no append puts off. */
const silentDueMsAt = 15;
// Follower.
const leaderAt = 4;
/** When the leader was heard last: the base of the election timer. */
const heardMsAt = 5;
const timeoutMsAt = 6;

/** Where peer k begins: its node id and generation as one number, match, stream (-1 = silent), when it answered last. */
const peerAt = 16;
const peerNumbers = 4;
const peersMax = 6;
/** Where the appends under way stand that found no place in the second line. */
const moreInflightAt = peerAt + peerNumbers * peersMax;
const inflightMax = 1 + (rowNumbers - moreInflightAt) / 2;

const none = 0;
const leads = 1;
const follows = 2;

/** Fewer rows stay in the caches anyway. */
const alignedRowsMin = 512;

/** Logs that long are for the core: it knows when numbers are used up. */
const indexMax = 2 ** 53 - 2 ** 33;
/** Generations up to here fit into one number with a node id. */
const generationMax = 2 ** 20;

function keyOf(nodeId: number, generation: number): number {
  return generation * 2 ** 32 + nodeId;
}

/** What an operation on a row answers: it was not steady for this (step the core), it is done, it committed something. */
export const steadyResults = { refused: 0, done: 1, committed: 2 } as const;
export type SteadyResult = 0 | 1 | 2;
const { refused, done, committed } = steadyResults;

/** What `tick` answers where the core must be stepped. */
export const tickRefused = -1;

/**
 * Zeroed memory of so many bytes that begins at a cache line, or null. A row is a whole number of lines, and a follower's
 * numbers are one: in memory that begins anywhere they would be two.
 */
export type RowMemory = (bytes: number) => ArrayBufferLike | null;

export class SteadyRows {
  /** Row i begins at rowNumbers * i. */
  #rows: Float64Array = new Float64Array(rowNumbers * 64);
  readonly #memory: RowMemory | null;
  /** Where what touchAll() read goes, so that the reads are not optimised away. */
  touched = 0;
  readonly #inflightMessagesMax: number;
  readonly #inflightBytesMax: number;
  /** Scratch for the median. */
  readonly #copies: number[] = [];

  constructor(
    limits: { readonly inflightMessagesMax: number; readonly inflightBytesMax: number },
    memory: RowMemory | null = null,
  ) {
    this.#memory = memory;
    this.#inflightMessagesMax = limits.inflightMessagesMax;
    this.#inflightBytesMax = limits.inflightBytesMax;
  }

  /** Makes room for row `number`. */
  addRow(number: number): void {
    while (rowNumbers * (number + 1) > this.#rows.length) {
      const numbers = this.#rows.length * 2;
      const isLarge = numbers >= rowNumbers * alignedRowsMin;
      const aligned = isLarge ? (this.#memory?.(numbers * 8) ?? null) : null;
      const grown =
        aligned === null ? new Float64Array(numbers) : new Float64Array(aligned, 0, numbers);
      grown.set(this.#rows);
      this.#rows = grown;
    }
  }

  isLent(number: number): boolean {
    return this.#rows[rowNumbers * number + kindAt] !== none;
  }
  isLeader(number: number): boolean {
    return this.#rows[rowNumbers * number + kindAt] === leads;
  }
  term(number: number): number {
    return this.#rows[rowNumbers * number + termAt] as number;
  }
  lastIndex(number: number): number {
    return this.#rows[rowNumbers * number + lastAt] as number;
  }
  commitIndex(number: number): number {
    return this.#rows[rowNumbers * number + commitAt] as number;
  }
  /** When its next tick is due. */
  deadlineMs(number: number): number {
    return this.#rows[rowNumbers * number + deadlineMsAt] as number;
  }

  /** Reads a little of row `number`, so that its memory is near; the sum means nothing. */
  touch(number: number): number {
    const rows = this.#rows;
    const at = rowNumbers * number;
    if (rows[at + kindAt] !== leads) return rows[at + deadlineMsAt] as number;
    // The last number, too: in memory that begins anywhere three lines of numbers are four.
    const last = at + peerAt + 2 * peerNumbers - 1;
    return (rows[at + 8] as number) + (rows[at + peerAt] as number) + (rows[last] as number);
  }

  /** The same for the rows numbers[from, to). */
  touchAll(numbers: readonly number[], from: number, to: number): void {
    let sum = 0;
    for (let i = from; i < to; i++) sum += this.touch(numbers[i] as number);
    this.touched = sum;
  }

  // ── lending ────────────────────────────────────────────────────────────────────────────────────

  /** Lends the core's state to row `number` where it is steady. Answers whether it is. */
  lend(s: CoreState, number: number): boolean {
    const at = rowNumbers * number;
    const rows = this.#rows;
    const isSteady =
      s.configurationIndex <= s.commitIndex &&
      s.runs.lastTerm === s.term &&
      s.durableTerm === s.term &&
      (s.role === 'leader' ? this.#lendLeader(s, at) : this.#lendFollower(s, at));
    if (!isSteady) {
      rows[at + kindAt] = none;
      return false;
    }
    rows[at + termAt] = s.term;
    rows[at + lastAt] = s.runs.lastIndex;
    rows[at + commitAt] = s.commitIndex;
    rows[at + deadlineMsAt] = s.deadlineMs;
    return true;
  }

  #lendFollower(s: CoreState, at: number): boolean {
    if (s.role !== 'follower' || s.leader === 0 || s.verifiedIndex !== s.runs.lastIndex)
      return false;
    // One number stands for both.
    if (s.timerBaseMs !== s.heardMs) return false;
    const rows = this.#rows;
    rows[at + kindAt] = follows;
    rows[at + leaderAt] = s.leader;
    rows[at + heardMsAt] = s.heardMs;
    rows[at + timeoutMsAt] = s.timeoutMs;
    return true;
  }

  #lendLeader(s: CoreState, at: number): boolean {
    const { configuration, peers, runs } = s;
    const isPlain =
      s.commitIndex >= s.leaderFirstIndex &&
      configuration.outgoing === 0 &&
      s.ownBit !== 0 &&
      s.transferTo === 0 &&
      s.config.uncommittedBytesMax === undefined &&
      peers.length <= peersMax &&
      bitCount(configuration.incoming) === peers.length + 1;
    if (!isPlain) return false;
    const rows = this.#rows;
    let longest: InflightWindow | null = null;
    let sentMs = Number.POSITIVE_INFINITY;
    let silentSentMs = Number.POSITIVE_INFINITY;
    for (let k = 0; k < peers.length; k++) {
      const p = peers[k] as Progress;
      if (p.position < 0 || p.generation > generationMax) return false;
      const isSilent = p.isProbing || p.next <= runs.lastIndex;
      if (!isSilent && (longest === null || p.window.count > longest.count)) longest = p.window;
      if (p.lastSentMs < sentMs) sentMs = p.lastSentMs;
      if (isSilent && p.lastSentMs < silentSentMs) silentSentMs = p.lastSentMs;
      const to = at + peerAt + peerNumbers * k;
      rows[to] = keyOf(p.nodeId, p.generation);
      rows[to + 1] = p.match;
      rows[to + 2] = isSilent ? -1 : p.stream;
      rows[to + 3] = p.lastAnswerMs;
    }
    const inflight = longest === null ? 0 : longest.count;
    if (inflight > inflightMax) return false;
    for (let i = 0; i < inflight; i++) {
      const slot = slotAt(at, i);
      rows[slot] = (longest as InflightWindow).lastIndexOf(i);
      rows[slot + 1] = (longest as InflightWindow).bytesOf(i);
    }
    rows[at + inflightAt] = inflight;
    for (let k = 0; k < peers.length; k++) {
      const isSilent = rows[at + peerAt + peerNumbers * k + 2] === -1;
      if (!isSilent && !this.#isTail(peers[k] as Progress, at, inflight)) return false;
    }
    rows[at + kindAt] = leads;
    rows[at + selfMatchAt] = s.selfMatch;
    const { checkQuorum, electionMsMin, heartbeatMs } = s.config;
    rows[at + heartbeatMsAt] = heartbeatMs;
    rows[at + silenceMsAt] = checkQuorum ? electionMsMin : Number.POSITIVE_INFINITY;
    // Every tick of a leader with lease reads asks anew, and one with an open read round may repeat its question.
    const isAsking = configuration.leaseMs > 0 || newestToken(s) !== 0;
    rows[at + heartbeatDueMsAt] = isAsking ? Number.NEGATIVE_INFINITY : sentMs + heartbeatMs;
    rows[at + silentDueMsAt] = isAsking ? Number.NEGATIVE_INFINITY : silentSentMs + heartbeatMs;
    rows[at + sentMsAt] = -1;
    rows[at + peersAt] = peers.length;
    rows[at + quorumAt] = ((peers.length + 1) >>> 1) + 1;
    return true;
  }

  /** Whether the follower's window holds the row's appends under way that it has not answered, and no others. */
  #isTail({ match, window }: Progress, at: number, inflight: number): boolean {
    const skipped = inflight - window.count;
    if (skipped > 0 && (this.#rows[slotAt(at, skipped - 1)] as number) > match) return false;
    for (let i = 0; i < window.count; i++) {
      const slot = slotAt(at, skipped + i);
      if (window.lastIndexOf(i) !== this.#rows[slot] || window.bytesOf(i) !== this.#rows[slot + 1])
        return false;
    }
    return true;
  }

  /** Brings the core's state up to date with its row, which stays lent. */
  settle(s: CoreState, number: number): void {
    const at = rowNumbers * number;
    const rows = this.#rows;
    const kind = rows[at + kindAt] as number;
    if (kind === none) return;
    const last = rows[at + lastAt] as number;
    if (last > s.runs.lastIndex) s.runs.append(last, s.term);
    s.commitIndex = rows[at + commitAt] as number;
    // What did not change is not written: a number from the row may become an object of its own in the core.
    const deadlineMs = rows[at + deadlineMsAt] as number;
    if (deadlineMs !== s.deadlineMs) s.deadlineMs = deadlineMs;
    if (kind === leads) {
      this.#settleLeader(s, at);
      return;
    }
    s.verifiedIndex = last;
    const heardMs = rows[at + heardMsAt] as number;
    if (heardMs === s.heardMs) return;
    s.timerBaseMs = heardMs;
    s.heardMs = heardMs;
  }

  #settleLeader(s: CoreState, at: number): void {
    const rows = this.#rows;
    s.selfMatch = rows[at + selfMatchAt] as number;
    const sentMs = rows[at + sentMsAt] as number;
    const inflight = rows[at + inflightAt] as number;
    for (let k = 0; k < s.peers.length; k++) {
      const from = at + peerAt + peerNumbers * k;
      if (rows[from + 2] === -1) continue;
      const p = s.peers[k] as Progress;
      p.match = rows[from + 1] as number;
      p.next = (rows[at + lastAt] as number) + 1;
      p.lastAnswerMs = rows[from + 3] as number;
      if (sentMs >= 0) {
        p.lastSentMs = sentMs;
        p.lastAppendMs = sentMs;
      }
      p.window.clear();
      for (let i = 0; i < inflight; i++) {
        const slot = slotAt(at, i);
        if ((rows[slot] as number) > p.match)
          p.window.add(rows[slot] as number, rows[slot + 1] as number, s.config);
      }
    }
  }

  /** Takes the row back: `settle`, and it is lent no more. */
  takeBack(s: CoreState, number: number): void {
    this.settle(s, number);
    this.#rows[rowNumbers * number + kindAt] = none;
  }

  // ── ticks ──────────────────────────────────────────────────────────────────────────────────────

  /**
   * Answers when the next tick is due, where one at `nowMs` does nothing but move the deadline: nobody is to be told or
   * asked anything, a leader that checks hears its quorum, and a follower its leader. `tickRefused`: step the core.
   */
  tick(number: number, nowMs: number): number {
    const rows = this.#rows;
    const at = rowNumbers * number;
    const kind = rows[at + kindAt] as number;
    if (kind === none) return tickRefused;
    const deadlineMs = rows[at + deadlineMsAt] as number;
    if (nowMs < deadlineMs) return deadlineMs;
    const dueMs =
      kind === leads
        ? this.#heartbeatDueMs(at)
        : (rows[at + heardMsAt] as number) + (rows[at + timeoutMsAt] as number);
    if (nowMs >= dueMs || (kind === leads && !this.#hearsQuorum(at, nowMs))) return tickRefused;
    rows[at + deadlineMsAt] = dueMs;
    return dueMs;
  }

  #heartbeatDueMs(at: number): number {
    const rows = this.#rows;
    const sentMs = rows[at + sentMsAt] as number;
    if (sentMs < 0) return rows[at + heartbeatDueMsAt] as number;
    return Math.min(
      sentMs + (rows[at + heartbeatMsAt] as number),
      rows[at + silentDueMsAt] as number,
    );
  }

  #hearsQuorum(at: number, nowMs: number): boolean {
    const rows = this.#rows;
    const silenceMs = rows[at + silenceMsAt] as number;
    const peers = rows[at + peersAt] as number;
    let heard = 1;
    for (let k = 0; k < peers; k++) {
      if (nowMs < (rows[at + peerAt + peerNumbers * k + 3] as number) + silenceMs) heard++;
    }
    return heard >= (rows[at + quorumAt] as number);
  }

  // ── a leader's operations ──────────────────────────────────────────────────────────────────────

  /** Whether this leader may append and send it to every follower that is not silent. */
  canPropose(number: number): boolean {
    const rows = this.#rows;
    const at = rowNumbers * number;
    if (rows[at + kindAt] !== leads || (rows[at + lastAt] as number) > indexMax) return false;
    const inflight = rows[at + inflightAt] as number;
    if (inflight === 0) return true;
    if (inflight >= inflightMax || inflight >= this.#inflightMessagesMax) return false;
    let bytes = 0;
    for (let i = 0; i < inflight; i++) bytes += rows[slotAt(at, i) + 1] as number;
    return bytes < this.#inflightBytesMax;
  }

  /** `count` commands of `bytes` bytes are appended, and leave for every follower that is not silent. After canPropose. */
  propose(number: number, count: number, bytes: number, nowMs: number): void {
    const rows = this.#rows;
    const at = rowNumbers * number;
    const last = (rows[at + lastAt] as number) + count;
    rows[at + lastAt] = last;
    const peers = rows[at + peersAt] as number;
    let isSent = false;
    for (let k = 0; k < peers; k++) {
      if (rows[at + peerAt + peerNumbers * k + 2] !== -1) isSent = true;
    }
    if (!isSent) return;
    const inflight = rows[at + inflightAt] as number;
    const slot = slotAt(at, inflight);
    rows[slot] = last;
    rows[slot + 1] = bytes;
    rows[at + inflightAt] = inflight + 1;
    rows[at + sentMsAt] = nowMs;
  }

  /** Followers of a leader. */
  peerCount(number: number): number {
    return this.#rows[rowNumbers * number + peersAt] as number;
  }
  /** Node id of follower k. */
  peerNodeId(number: number, k: number): number {
    const key = this.#rows[rowNumbers * number + peerAt + peerNumbers * k] as number;
    // A remainder of numbers that may be fractions is computed bit by bit.
    return key - Math.floor(key / 2 ** 32) * 2 ** 32;
  }
  /** Generation of follower k. */
  peerGeneration(number: number, k: number): number {
    return Math.floor(
      (this.#rows[rowNumbers * number + peerAt + peerNumbers * k] as number) / 2 ** 32,
    );
  }
  /** The stream of appends to follower k, -1 = it is silent, and nothing is sent to it. */
  peerStream(number: number, k: number): number {
    return this.#rows[rowNumbers * number + peerAt + peerNumbers * k + 2] as number;
  }

  /** Own entries up to `index`, which is of `term`, are durable. */
  durable(number: number, term: number, index: number): SteadyResult {
    const rows = this.#rows;
    const at = rowNumbers * number;
    if (rows[at + kindAt] !== leads || rows[at + termAt] !== term) return refused;
    if (index > (rows[at + lastAt] as number)) return refused;
    if (index <= (rows[at + selfMatchAt] as number)) return done;
    rows[at + selfMatchAt] = index;
    return this.#commit(at);
  }

  /** Replica `generation` of node `nodeId` grants `index` on `stream`, in `term`. */
  granted(
    number: number,
    nodeId: number,
    generation: number,
    term: number,
    stream: number,
    index: number,
    nowMs: number,
  ): SteadyResult {
    const rows = this.#rows;
    const at = rowNumbers * number;
    if (rows[at + kindAt] !== leads || rows[at + termAt] !== term) return refused;
    if (index > (rows[at + lastAt] as number)) return refused;
    const key = keyOf(nodeId, generation);
    const peers = rows[at + peersAt] as number;
    for (let k = 0; k < peers; k++) {
      const from = at + peerAt + peerNumbers * k;
      if (rows[from] !== key) continue;
      if (rows[from + 2] !== stream) return refused;
      rows[from + 3] = nowMs;
      if (index <= (rows[from + 1] as number)) return done;
      rows[from + 1] = index;
      this.#freeInflight(at, peers);
      return index > (rows[at + commitAt] as number) ? this.#commit(at) : done;
    }
    return refused;
  }

  /** Whether one more copy of `index` may commit something (a guess that is nearly always right). */
  commitsWith(number: number, index: number): boolean {
    const rows = this.#rows;
    const at = rowNumbers * number;
    const commit = rows[at + commitAt] as number;
    if (index <= commit) return false;
    let copies = (rows[at + selfMatchAt] as number) > commit ? 2 : 1;
    const peers = rows[at + peersAt] as number;
    for (let k = 0; k < peers; k++) {
      if ((rows[at + peerAt + peerNumbers * k + 1] as number) > commit) copies++;
    }
    return copies >= (rows[at + quorumAt] as number);
  }

  /** Forgets the appends that every follower has answered, silent ones aside. */
  #freeInflight(at: number, peers: number): void {
    const rows = this.#rows;
    const inflight = rows[at + inflightAt] as number;
    let matched = Number.POSITIVE_INFINITY;
    for (let k = 0; k < peers; k++) {
      const from = at + peerAt + peerNumbers * k;
      if (rows[from + 2] !== -1 && (rows[from + 1] as number) < matched)
        matched = rows[from + 1] as number;
    }
    let freed = 0;
    while (freed < inflight && (rows[slotAt(at, freed)] as number) <= matched) freed++;
    if (freed === 0) return;
    for (let i = freed; i < inflight; i++) {
      const from = slotAt(at, i);
      const to = slotAt(at, i - freed);
      rows[to] = rows[from] as number;
      rows[to + 1] = rows[from + 1] as number;
    }
    rows[at + inflightAt] = inflight - freed;
  }

  /** Commits what a quorum holds: all of it above the commit index is of this term. */
  #commit(at: number): SteadyResult {
    const rows = this.#rows;
    const peers = rows[at + peersAt] as number;
    const quorum = rows[at + quorumAt] as number;
    const copies = this.#copies;
    // The quorum-th highest, by insertion: there are seven at most.
    copies[0] = rows[at + selfMatchAt] as number;
    for (let k = 0; k < peers; k++) {
      const match = rows[at + peerAt + peerNumbers * k + 1] as number;
      let place = k + 1;
      while (place > 0 && (copies[place - 1] as number) < match) {
        copies[place] = copies[place - 1] as number;
        place--;
      }
      copies[place] = match;
    }
    const index = copies[quorum - 1] as number;
    if (index <= (rows[at + commitAt] as number)) return done;
    rows[at + commitAt] = index;
    return committed;
  }

  // ── a follower's operation ─────────────────────────────────────────────────────────────────────

  /** Whether an append of `term` from `nodeId` continues the log right behind its last entry, with entries of this term. */
  continues(
    number: number,
    nodeId: number,
    term: number,
    prevIndex: number,
    prevTerm: number,
    entriesTerm: number,
  ): boolean {
    const rows = this.#rows;
    const at = rowNumbers * number;
    return (
      rows[at + kindAt] === follows &&
      rows[at + termAt] === term &&
      rows[at + leaderAt] === nodeId &&
      rows[at + lastAt] === prevIndex &&
      prevTerm === term &&
      entriesTerm === term
    );
  }

  /** The leader has committed up to `index`, which a steady follower holds. */
  commitUpTo(number: number, index: number): SteadyResult {
    const rows = this.#rows;
    const at = rowNumbers * number;
    if (index <= (rows[at + commitAt] as number)) return done;
    rows[at + commitAt] = index;
    return committed;
  }

  /** Such an append, up to `last`, none of it a configuration, is taken; its leader has committed up to `commit`. */
  append(number: number, last: number, commit: number, nowMs: number): SteadyResult {
    const rows = this.#rows;
    const at = rowNumbers * number;
    rows[at + lastAt] = last;
    rows[at + heardMsAt] = nowMs;
    return this.commitUpTo(number, Math.min(commit, last));
  }
}

/** Where append i of those under way stands. */
function slotAt(at: number, i: number): number {
  return i === 0 ? at + firstInflightAt : at + moreInflightAt + 2 * (i - 1);
}
