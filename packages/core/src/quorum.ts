// Quorums, of one configuration and of two at once (Raft §5.2, §5.4.2, §6): which index is committed, and how a vote
// stands. Pure arithmetic over numbers and bits; nothing here knows a role, a term or a message.
//
// The two kernels work on positions: `half` is a set of voters as bits, bit i naming what stands at position i. The core
// calls them with the positions of its configuration; the functions over node ids below are the same kernels for
// whoever has maps (tests, tools).
//
// 1. An empty half constrains nothing: it commits everything (Infinity) and wins every vote. A joint configuration with
//    an empty second half is thereby the first half alone.
// 2. Two halves commit what both commit, win when both win, and lose as soon as one has lost.
// 3. There is nothing to sort, so nothing can be unsorted: an index is committed when enough voters are counted that
//    hold it (openraft #1802 advanced a commit from acknowledgements that were assumed to be in order).

import { assert } from './assert.ts';

/** Voters are bits of one number. */
export const votersMax = 31;

export type VoteResult = 'won' | 'lost' | 'pending';

export function bitCount(bits: number): number {
  let count = 0;
  for (let rest = bits; rest !== 0; rest &= rest - 1) count++;
  return count;
}

/** The greatest index that a majority of `half` holds, where position i holds `acked[i]`; Infinity for an empty half. */
export function committedIn(acked: readonly number[], half: number): number {
  if (half === 0) return Number.POSITIVE_INFINITY;
  const quorum = (bitCount(half) >>> 1) + 1;
  let best = 0;
  for (let i = 0, candidates = half; candidates !== 0; i++, candidates >>>= 1) {
    if ((candidates & 1) === 0) continue;
    const index = acked[i] as number;
    if (index <= best) continue;
    let holders = 0;
    for (let k = 0, rest = half; rest !== 0; k++, rest >>>= 1) {
      if ((rest & 1) !== 0 && (acked[k] as number) >= index) holders++;
    }
    if (holders >= quorum) best = index;
  }
  return best;
}

/** The same for three voters that hold `a`, `b` and `c`: what two of them hold, the median. */
export function committedOfThree(a: number, b: number, c: number): number {
  if (a > b) return b > c ? b : a < c ? a : c;
  return a > c ? a : b < c ? b : c;
}

/** How a vote among `half` stands; bits outside of `half` are not looked at. */
export function voteIn(granted: number, refused: number, half: number): VoteResult {
  const size = bitCount(half);
  const quorum = (size >>> 1) + 1;
  if (size === 0 || bitCount(granted & half) >= quorum) return 'won';
  return size - bitCount(refused & half) < quorum ? 'lost' : 'pending';
}

/** How a vote stands that both halves must win. */
export function voteInBoth(
  granted: number,
  refused: number,
  halves: { readonly incoming: number; readonly outgoing: number },
): VoteResult {
  const first = voteIn(granted, refused, halves.incoming);
  if (halves.outgoing === 0 || first === 'lost') return first;
  const second = voteIn(granted, refused, halves.outgoing);
  return first === 'won' ? second : second === 'lost' ? 'lost' : 'pending';
}

function halfOf(voters: readonly number[]): number {
  assert(voters.length <= votersMax, 'a quorum has at most 31 voters');
  return 2 ** voters.length - 1;
}

/** Committed index of distinct `voters`; a voter that `acked` does not name holds nothing. Infinity without voters. */
export function majorityCommitted(
  voters: readonly number[],
  acked: ReadonlyMap<number, number>,
): number {
  return committedIn(
    voters.map((voter) => acked.get(voter) ?? 0),
    halfOf(voters),
  );
}

/** Committed index of a joint configuration: what both halves commit. */
export function jointCommitted(
  voters: readonly number[],
  votersOutgoing: readonly number[],
  acked: ReadonlyMap<number, number>,
): number {
  return Math.min(majorityCommitted(voters, acked), majorityCommitted(votersOutgoing, acked));
}

/** How a vote among distinct `voters` stands; one that `votes` does not name has not answered. */
export function majorityVote(
  voters: readonly number[],
  votes: ReadonlyMap<number, boolean>,
): VoteResult {
  const { granted, refused } = ballots(voters, votes);
  return voteIn(granted, refused, halfOf(voters));
}

/** How the vote of a joint configuration stands. */
export function jointVote(
  voters: readonly number[],
  votersOutgoing: readonly number[],
  votes: ReadonlyMap<number, boolean>,
): VoteResult {
  const all = [...new Set([...voters, ...votersOutgoing])];
  assert(all.length <= votersMax, 'a quorum has at most 31 voters');
  const { granted, refused } = ballots(all, votes);
  const bitsOf = (half: readonly number[]): number =>
    half.reduce((bits, voter) => bits | (1 << all.indexOf(voter)), 0);
  return voteInBoth(granted, refused, {
    incoming: bitsOf(voters),
    outgoing: bitsOf(votersOutgoing),
  });
}

function ballots(
  voters: readonly number[],
  votes: ReadonlyMap<number, boolean>,
): { granted: number; refused: number } {
  let granted = 0;
  let refused = 0;
  for (const [position, voter] of voters.entries()) {
    const vote = votes.get(voter);
    if (vote === true) granted |= 1 << position;
    else if (vote === false) refused |= 1 << position;
  }
  return { granted, refused };
}
