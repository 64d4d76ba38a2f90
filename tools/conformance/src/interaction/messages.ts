// Messages of our cores in the words of the transcripts, and the comparison of what one command sent (level G1): the same
// messages with the same fields, in any order.
//
// What may differ, because it is a policy of the reference and not Raft:
// 1. A leader there publishes a new commit index at once with an empty MsgApp. Ours tells it with the next append or
//    heartbeat, so those empty messages, and one granted answer for each, may be missing.
// 2. The place and the hint in a refused MsgAppResp: there the place that was refused, here where to probe next.
// 3. An append there may hold entries of several terms; ours holds those of one (decision 0004), so that it is several
//    appends, each of which is answered.
// 4. An answer that only tells a deposed leader the newer term is a MsgAppResp there, and of the kind asked here.

import { type Message, messageKinds } from '@flotilla/core';
import type { GoldenMessage } from './golden.ts';
import type { Parcel } from './replica.ts';
import type { Terms } from './terms.ts';

const typeNames: ReadonlyMap<number, string> = new Map<number, string>([
  [messageKinds.append, 'MsgApp'],
  [messageKinds.appendAnswer, 'MsgAppResp'],
  [messageKinds.heartbeat, 'MsgHeartbeat'],
  [messageKinds.heartbeatAnswer, 'MsgHeartbeatResp'],
  [messageKinds.preVote, 'MsgPreVote'],
  [messageKinds.preVoteAnswer, 'MsgPreVoteResp'],
  [messageKinds.vote, 'MsgVote'],
  [messageKinds.voteAnswer, 'MsgVoteResp'],
  [messageKinds.timeoutNow, 'MsgTimeoutNow'],
  [messageKinds.snapshot, 'MsgSnap'],
]);

/** The kind of ours that a transcript's type means; null where there is none. */
export function kindOf(type: string): number | null {
  for (const [kind, name] of typeNames) if (name === type) return kind;
  return null;
}

export function goldenForm(
  { message: m, entries, isTermAnswer }: Parcel,
  terms: Terms,
): GoldenMessage {
  const { from, to } = m;
  const term = terms.toGolden(m.term);
  const plain = { from, to, term, logTerm: 0, index: 0, commit: 0, isRejected: false, entries: [] };
  if (isTermAnswer) return { ...plain, type: 'MsgAppResp' };
  const type = typeNames.get(m.kind) ?? `kind ${m.kind}`;
  switch (m.kind) {
    case messageKinds.append:
      return {
        ...plain,
        type,
        logTerm: terms.ofEntry(m.prevIndex, m.prevTerm),
        index: m.prevIndex,
        commit: m.commit,
        entries: entries.map(
          (each) => `${terms.ofEntry(each.index, each.term)}/${each.index} ${each.text}`,
        ),
      };
    case messageKinds.appendAnswer:
      return m.granted ? { ...plain, type, index: m.index } : { ...plain, type, isRejected: true };
    case messageKinds.heartbeat:
      return { ...plain, type, commit: m.commit };
    case messageKinds.preVote:
    case messageKinds.vote:
      return { ...plain, type, logTerm: terms.ofEntry(m.index, m.logTerm), index: m.index };
    case messageKinds.preVoteAnswer:
    case messageKinds.voteAnswer:
      return { ...plain, type, isRejected: !m.granted };
    case messageKinds.snapshot:
      return { ...plain, type, entries: [snapshotText(m, terms)] };
    default:
      return { ...plain, type };
  }
}

function snapshotText(m: Message, terms: Terms): string {
  const configuration = m.configurations[0]?.configuration;
  const ids = (members: readonly { nodeId: number }[] | undefined): string =>
    `[${(members ?? []).map(({ nodeId }) => nodeId).join(' ')}]`;
  const parts = [
    `Voters:${ids(configuration?.voters)}`,
    `VotersOutgoing:${ids(configuration?.votersOutgoing)}`,
    `Learners:${ids(configuration?.learners)}`,
    `LearnersNext:${ids(configuration?.learnersNext)}`,
    `AutoLeave:${configuration?.autoLeave ?? false}`,
  ];
  return `Index:${m.index} Term:${terms.ofEntry(m.index, m.logTerm)} ConfState:${parts.join(' ')}`;
}

function keyOf(m: GoldenMessage): string {
  const place = m.isRejected ? '' : ` ${m.logTerm}/${m.index}`;
  const rejected = m.isRejected ? ' rejected' : '';
  return `${m.from}->${m.to} ${m.type} term ${m.term}${place} commit ${m.commit}${rejected} [${m.entries.join(', ')}]`;
}

/** The granted answer to an append: it matches up to `index`. */
function answerKeyOf({ from, to, term }: GoldenMessage, index: number): string {
  const plain = { term, logTerm: 0, commit: 0, isRejected: false, entries: [] };
  return keyOf({ ...plain, from: to, to: from, type: 'MsgAppResp', index });
}

function count(counts: Map<string, number>, key: string, by: number): void {
  counts.set(key, (counts.get(key) ?? 0) + by);
}

/** Whether there was one left. */
function take(counts: Map<string, number>, key: string): boolean {
  const left = counts.get(key) ?? 0;
  if (left > 0) counts.set(key, left - 1);
  return left > 0;
}

/** The message as ours says it: one for each term among its entries (rule 3). */
function piecesOf(m: GoldenMessage): GoldenMessage[] {
  const pieces: GoldenMessage[] = [];
  let { logTerm, index } = m;
  for (const entry of m.type === 'MsgApp' ? m.entries : []) {
    const [, term, at] = /^(\d+)\/(\d+)/.exec(entry) ?? [];
    const last = pieces.at(-1);
    if (last !== undefined && Number(term) === logTerm && last.entries.length > 0) {
      pieces[pieces.length - 1] = { ...last, entries: [...last.entries, entry] };
    } else {
      pieces.push({ ...m, logTerm, index, entries: [entry] });
    }
    logTerm = Number(term);
    index = Number(at);
  }
  return pieces.length === 0 ? [m] : pieces;
}

/** Compares command by command, and remembers what rule 1 lets be missing. */
export class MessageComparison {
  /** Answers to empty messages of the reference that ours did not send: they may be missing from now on. */
  readonly #unanswered: Map<string, number> = new Map();
  /** Answers to all but the last of the pieces of an append: they may be sent from now on. */
  readonly #pieceAnswers: Map<string, number> = new Map();
  compared = 0;
  readonly differences: string[] = [];

  compare(where: string, expected: readonly GoldenMessage[], got: readonly GoldenMessage[]): void {
    const left = new Map<string, number>();
    for (const each of got) count(left, keyOf(each), 1);
    const missing: GoldenMessage[] = [];
    for (const each of expected.flatMap((whole) => this.#split(whole))) {
      if (!take(left, keyOf(each))) missing.push(each);
    }
    this.compared += expected.length;
    const isPublication = (m: GoldenMessage): boolean =>
      m.type === 'MsgApp' && m.entries.length === 0;
    for (const each of missing) {
      if (isPublication(each)) count(this.#unanswered, answerKeyOf(each, each.index), 1);
    }
    for (const each of missing) {
      if (isPublication(each) || take(this.#unanswered, keyOf(each))) continue;
      this.differences.push(`${where}: not sent: ${keyOf(each)}`);
    }
    for (const [key, times] of left) {
      for (let i = 0; i < times; i++) {
        if (!take(this.#pieceAnswers, key)) this.differences.push(`${where}: sent: ${key}`);
      }
    }
  }

  #split(whole: GoldenMessage): GoldenMessage[] {
    const pieces = piecesOf(whole);
    for (const piece of pieces.slice(0, -1)) {
      count(this.#pieceAnswers, answerKeyOf(piece, piece.index + piece.entries.length), 1);
    }
    return pieces;
  }
}
