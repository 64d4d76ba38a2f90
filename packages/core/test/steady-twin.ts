// A second core that gets the same events as a first one, but is lent to a row whenever it is steady, as a host does it
// (steady.ts). After each event both must have asked for the same, and be in the same state.

import {
  type CoreEvent,
  Effects,
  messageKinds,
  RaftCore,
  SteadyRows,
  tickRefused,
} from '@flotilla/core';

type Boot = ConstructorParameters<typeof RaftCore>;

/** How often each way was taken, over all twins. */
export const steadyCounts = {
  propose: 0,
  durable: 0,
  granted: 0,
  append: 0,
  leaderTick: 0,
  followerTick: 0,
  stepped: 0,
};

export class SteadyTwin {
  readonly #core: RaftCore;
  readonly #rows: SteadyRows;
  readonly #nodeId: number;
  readonly #generation: number;
  readonly #row: number;
  readonly #out: Effects = new Effects();

  constructor([config, boot, nowMs]: Boot) {
    this.#core = new RaftCore(config, boot, nowMs);
    this.#rows = new SteadyRows(config);
    this.#nodeId = config.nodeId;
    this.#generation = boot.generation ?? 1;
    this.#row = 3 * config.nodeId;
    this.#rows.addRow(this.#row);
  }

  /** Before `first` takes an event with `out`: whether its effects are a new set. */
  before(out: Effects): void {
    if (JSON.stringify(plain(out)) === nothingAsked) this.#out.clear();
    // Those that were answered meanwhile are taken out.
    this.#out.reads.splice(0, this.#out.reads.length, ...out.reads);
  }

  /** After `first` took `event` and asked for `out`. */
  follow(first: RaftCore, event: CoreEvent, nowMs: number, out: Effects): void {
    const twin = this.#core;
    const own = this.#out;
    if (!this.#takeSteadily(event, nowMs)) {
      steadyCounts.stepped++;
      twin.step(event, nowMs, own);
      twin.lend(this.#rows, this.#row);
    }
    compare('effects', plain(own), plain(out));
    compare('core', stateOf(twin), stateOf(first));
  }

  #takeSteadily(event: CoreEvent, nowMs: number): boolean {
    const rows = this.#rows;
    const row = this.#row;
    const out = this.#out;
    switch (event.kind) {
      case 'propose': {
        if (!rows.canPropose(row)) return false;
        this.#propose(event.count, event.bytes, nowMs);
        steadyCounts.propose++;
        return true;
      }
      case 'persisted': {
        const result = rows.durable(row, event.indexTerm, event.index);
        if (result === 0) return false;
        if (result === 2) out.committedTo = rows.commitIndex(row);
        steadyCounts.durable++;
        return true;
      }
      case 'message': {
        const m = event.message;
        if (m.kind === messageKinds.appendAnswer && m.granted) {
          const { fromGeneration, index, stream, term } = m;
          const result = rows.granted(row, m.from, fromGeneration, term, stream, index, nowMs);
          if (result === 0) return false;
          if (result === 2) out.committedTo = rows.commitIndex(row);
          steadyCounts.granted++;
          return true;
        }
        if (m.kind !== messageKinds.append || m.lastIndex <= m.prevIndex) return false;
        const { entriesTerm, lastIndex, prevIndex, prevTerm, term } = m;
        if (m.configurations.length > 0) return false;
        if (!rows.continues(row, m.from, term, prevIndex, prevTerm, entriesTerm)) return false;
        // As a host does: what was there before is committed first.
        const before = rows.commitUpTo(row, Math.min(m.commit, prevIndex));
        if (before === 2) out.committedTo = rows.commitIndex(row);
        const result = rows.append(row, lastIndex, m.commit, nowMs);
        out.appendFirst = prevIndex + 1;
        out.appendLast = lastIndex;
        if (result === 2) out.committedTo = rows.commitIndex(row);
        const answer = out.afterPersist.push();
        answer.kind = messageKinds.appendAnswer;
        answer.from = this.#nodeId;
        answer.fromGeneration = this.#generation;
        answer.to = m.from;
        answer.toGeneration = m.fromGeneration;
        answer.term = term;
        answer.granted = true;
        answer.index = lastIndex;
        answer.stream = m.stream;
        steadyCounts.append++;
        return true;
      }
      case 'tick': {
        const isDue = nowMs >= this.#core.deadlineMs;
        const dueMs = rows.tick(row, nowMs);
        if (dueMs === tickRefused) return false;
        compare('tick', dueMs, this.#core.deadlineMs);
        if (isDue) steadyCounts[rows.isLeader(row) ? 'leaderTick' : 'followerTick']++;
        return true;
      }
      default:
        return false;
    }
  }

  #propose(count: number, bytes: number, nowMs: number): void {
    const rows = this.#rows;
    const row = this.#row;
    const out = this.#out;
    const prevIndex = rows.lastIndex(row);
    rows.propose(row, count, bytes, nowMs);
    out.refusal = null;
    out.proposedFirst = prevIndex + 1;
    out.appendFirst = prevIndex + 1;
    out.appendLast = prevIndex + count;
    for (let k = 0; k < rows.peerCount(row); k++) {
      if (rows.peerStream(row, k) < 0) continue;
      const m = out.messages.push();
      m.kind = messageKinds.append;
      m.from = this.#nodeId;
      m.fromGeneration = this.#generation;
      m.to = rows.peerNodeId(row, k);
      m.toGeneration = rows.peerGeneration(row, k);
      m.term = rows.term(row);
      m.prevIndex = prevIndex;
      m.prevTerm = rows.term(row);
      m.lastIndex = prevIndex + count;
      m.entriesTerm = rows.term(row);
      m.commit = rows.commitIndex(row);
      m.stream = rows.peerStream(row, k);
    }
  }
}

/** Everything that a core shows. */
function stateOf(core: RaftCore): unknown {
  core.checkInvariants();
  const { commitIndex, deadlineMs, firstIndex, lastIndex, leader, role, term, votedFor } = core;
  const peers = core.configuration.members().map(({ nodeId }) => core.progress(nodeId));
  const lastTerm = core.termAt(lastIndex);
  const { configurationIndex, ignoredCount, transferTo } = core;
  return {
    commitIndex,
    configurationIndex,
    deadlineMs,
    firstIndex,
    ignoredCount,
    lastIndex,
    lastTerm,
    leader,
    peers,
    role,
    term,
    transferTo,
    votedFor,
  };
}

function plain(out: Effects): unknown {
  const { afterPersist, messages, ...rest } = out as Effects & Record<string, unknown>;
  const listOf = (list: Effects['messages']): unknown[] =>
    Array.from({ length: list.count }, (_, i) => ({ ...list.at(i) }));
  return { ...rest, now: listOf(messages), later: listOf(afterPersist) };
}

function compare(what: string, twin: unknown, first: unknown): void {
  const a = JSON.stringify(twin);
  const b = JSON.stringify(first);
  if (a !== b) throw new Error(`a lent core's ${what} differ: ${a} instead of ${b}`);
}

const nothingAsked = JSON.stringify(plain(new Effects()));
