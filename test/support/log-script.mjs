// What the log's writer writes, as a pure function: given a seed, the number of its life, the number of the turn and what
// the log holds, the operations of that turn. The writer (log-writer.mjs) carries them out on a real log; whoever checks
// it carries them out on a LogModel, and so knows what any prefix of them must have left behind.
//
// Group 1 is the clock: the last operation of turn t appends its entry number t, so a recovered log says by itself how
// many turns it holds. A turn's operations lie in this order in the stream, and a cut may fall between any two of them.

import { createHash } from 'node:crypto';

/**
 * @typedef {{ nodeId: number, generation: number, instance: number }} Vote
 * @typedef {{ kind: 'open', groupId: number }
 *   | { kind: 'hardState', groupId: number, term: number, vote: Vote, commit: number }
 *   | { kind: 'commit', groupId: number, commit: number }
 *   | { kind: 'truncate', groupId: number, from: number }
 *   | { kind: 'entries', groupId: number, firstIndex: number, term: number, sizes: readonly number[], mark: string }} Op
 * @typedef {{ term: number, commit: number, firstIndex: number, lastIndex: number }} GroupView
 * @typedef {{ seed: number, groups: number, entryBytesMax: number }} Script
 * @typedef {GroupView & { groupId: number, generation: number, replicaId: number, config: string, vote: Vote, digest: string }} GroupImage
 */

export const clockGroup = 1;
/** Not a part of any turn: its hard states are what a writer lays while the log takes no entries. */
export const ballotGroup = 1_000_000;
const blockPayloadMax = 16_384;
export const noVote = { nodeId: 0, generation: 0, instance: 0 };

/** A stream of numbers that depends on its label alone. */
export class Draw {
  #state;

  /** @param {readonly number[]} label */
  constructor(label) {
    this.#state = label.reduce((state, word) => mix(state ^ word), 0x51ed270b);
  }

  /**
   * 0..below-1
   * @param {number} below
   */
  below(below) {
    this.#state = (this.#state + 0x9e3779b9) >>> 0;
    return Math.floor((mix(this.#state) / 2 ** 32) * below);
  }
}

/** @param {number} word */
function mix(word) {
  let mixed = Math.imul(word ^ (word >>> 16), 0x21f0aaad);
  mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97);
  return (mixed ^ (mixed >>> 15)) >>> 0;
}

/**
 * The operations of one turn, in order. Each is legal when all before it were carried out.
 * @param {Script} script
 * @param {number} life
 * @param {number} turn
 * @param {(groupId: number) => GroupView | undefined} viewOf What the log holds before the turn.
 * @returns {Op[]}
 */
export function turnOps(script, life, turn, viewOf) {
  const draw = new Draw([script.seed, life, turn]);
  const mark = `${life}.${turn}`;
  /** @type {Op[]} */
  const ops = [];
  if (viewOf(clockGroup) === undefined) ops.push(...opened(clockGroup, draw));
  const chosen = new Set();
  for (let n = 1 + draw.below(4); n > 0; n--) {
    const groupId = 2 + draw.below(script.groups - 1);
    if (chosen.has(groupId)) continue;
    chosen.add(groupId);
    const view = viewOf(groupId);
    if (view === undefined) ops.push(...opened(groupId, draw));
    else ops.push(...change(script, groupId, view, mark, draw));
  }
  const clock = viewOf(clockGroup);
  const firstIndex = (clock?.lastIndex ?? 0) + 1;
  ops.push({
    kind: 'entries',
    groupId: clockGroup,
    firstIndex,
    term: clock?.term || 1,
    sizes: [16],
    mark,
  });
  return ops;
}

/**
 * @param {number} groupId
 * @param {Draw} draw
 * @returns {Op[]}
 */
function opened(groupId, draw) {
  const vote = { nodeId: 1 + draw.below(9), generation: 1, instance: 1 + draw.below(1 << 20) };
  return [
    { kind: 'open', groupId },
    { kind: 'hardState', groupId, term: 1, vote, commit: 0 },
  ];
}

/**
 * @param {Script} script
 * @param {number} groupId
 * @param {GroupView} view
 * @param {string} mark
 * @param {Draw} draw
 * @returns {Op[]}
 */
function change(script, groupId, view, mark, draw) {
  const { commit, lastIndex } = view;
  /**
   * @param {number} firstIndex
   * @param {number} term
   * @returns {Op[]}
   */
  const entries = (firstIndex, term) => {
    const sizes = Array.from({ length: 1 + draw.below(6) }, () => sizeOf(script, draw));
    return blocks({ kind: 'entries', groupId, firstIndex, term, sizes, mark });
  };
  /**
   * A new term, as a new leader's first message brings it.
   * @returns {Op}
   */
  const nextTerm = () => ({
    kind: 'hardState',
    groupId,
    term: view.term + 1,
    vote: draw.below(3) === 0 ? noVote : { nodeId: 1 + draw.below(9), generation: 1, instance: 7 },
    commit,
  });
  // A log that was opened and got no further has no term for entries yet.
  const choice = view.term === 0 ? 12 : draw.below(16);
  if (choice < 10) return entries(lastIndex + 1, view.term);
  if (choice === 10 && lastIndex > commit) {
    return [{ kind: 'commit', groupId, commit: commit + 1 + draw.below(lastIndex - commit) }];
  }
  if (choice === 11 && lastIndex > commit) {
    const upTo = commit + 1 + draw.below(lastIndex - commit);
    return [{ kind: 'hardState', groupId, term: view.term, vote: noVote, commit: upTo }];
  }
  /** @type {Op[]} */
  const ops = [nextTerm()];
  const from = lastIndex > commit ? commit + 1 + draw.below(lastIndex - commit) : lastIndex + 1;
  if (choice === 13 && from <= lastIndex) ops.push({ kind: 'truncate', groupId, from });
  else if (choice > 13) ops.push(...entries(from, view.term + 1));
  return ops;
}

/**
 * One record where all entries fit into a block, else one for each.
 * @param {Extract<Op, { kind: 'entries' }>} op
 * @returns {Op[]}
 */
function blocks(op) {
  if (op.sizes.reduce((sum, size) => sum + size, 0) <= blockPayloadMax) return [op];
  return op.sizes.map((size, i) => ({ ...op, firstIndex: op.firstIndex + i, sizes: [size] }));
}

/**
 * @param {Script} script
 * @param {Draw} draw
 */
function sizeOf(script, draw) {
  const kind = draw.below(32);
  if (kind === 0) return draw.below(script.entryBytesMax + 1);
  return kind < 4 ? draw.below(4_000) : draw.below(200);
}

/**
 * The bytes of one entry: unlike those of any other group, index, term, turn or life wherever they are long enough.
 * @param {number} groupId
 * @param {number} index
 * @param {number} term
 * @param {string} mark
 * @param {number} size
 */
export function payloadOf(groupId, index, term, mark, size) {
  return Buffer.alloc(size, `${mark}/${groupId}/${index}/${term};`);
}

/**
 * Of a group's configuration, as text.
 * @param {number} groupId
 */
export function configOf(groupId) {
  return `config of group ${groupId}`;
}

/** Sums up a group's entries in order. */
export class EntriesDigest {
  #hash = createHash('sha256');

  /**
   * @param {number} index
   * @param {number} term
   * @param {Uint8Array} payload
   */
  add(index, term, payload) {
    this.#hash.update(`${index}:${term}:${payload.length}:`).update(payload);
  }

  text() {
    return this.#hash.digest('base64');
  }
}
