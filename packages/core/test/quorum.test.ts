// Quorums: tables of both halves, and the laws that hold for every configuration (metamorphic: what must not change the
// answer does not).

import {
  jointCommitted,
  jointVote,
  majorityCommitted,
  majorityVote,
  type VoteResult,
  votersMax,
} from '@flotilla/core';
import { describe, expect, it } from 'vitest';
import { committedIn, committedOfThree } from '../src/quorum.ts';
import { Draw, drawIds, lawCases } from './random-configurations.ts';

function acked(
  voters: readonly number[],
  indexes: readonly (number | null)[],
): Map<number, number> {
  const map = new Map<number, number>();
  for (const [at, voter] of voters.entries()) {
    const index = indexes[at];
    if (index !== null && index !== undefined) map.set(voter, index);
  }
  return map;
}

function votes(voters: readonly number[], ballots: string): Map<number, boolean> {
  const map = new Map<number, boolean>();
  for (const [at, voter] of voters.entries()) {
    if (ballots[at] === 'y' || ballots[at] === 'n') map.set(voter, ballots[at] === 'y');
  }
  return map;
}

describe('the committed index of a majority', () => {
  it.each<[readonly number[], readonly (number | null)[], number]>([
    [[], [], Number.POSITIVE_INFINITY],
    [[1], [12], 12],
    [[1], [null], 0],
    [[1, 2], [12, 5], 5],
    [[1, 2, 3], [12, 5, 3], 5],
    [[1, 2, 3], [5, 5, 103], 5],
    [[1, 2, 3, 4], [104, 102, 103, 103], 103],
    [[1, 2, 3, 4, 5], [101, 104, 103, 103, null], 103],
  ])('of voters %j that acknowledged %j is %d', (voters, indexes, expected) => {
    expect(majorityCommitted(voters, acked(voters, indexes))).toBe(expected);
  });

  it('ignores what anybody but a voter acknowledged', () => {
    expect(majorityCommitted([1, 2, 3], acked([1, 4, 5, 6], [9, 9, 9, 9]))).toBe(0);
  });

  it('takes 31 voters and refuses 32', () => {
    const voters = Array.from({ length: votersMax + 1 }, (_, at) => at + 1);
    const everybody = new Map(voters.map((voter) => [voter, voter]));
    expect(majorityCommitted(voters.slice(0, votersMax), everybody)).toBe(16);
    expect(() => majorityCommitted(voters, everybody)).toThrow('at most 31 voters');
  });
});

describe('the committed index of three voters', () => {
  it('is the same by the short way and by counting', () => {
    for (let at = 0; at < 125; at++) {
      const indexes = [at % 5, Math.floor(at / 5) % 5, Math.floor(at / 25)];
      const [a, b, c] = indexes as [number, number, number];
      expect(committedOfThree(a, b, c), indexes.join()).toBe(committedIn(indexes, 0b111));
    }
  });
});

describe('the committed index of two halves', () => {
  it.each<[readonly number[], readonly number[], readonly (number | null)[], number]>([
    [[1, 2, 3], [], [100, 101, 99], 100],
    [[1], [2], [100, null], 0],
    [[1], [2], [13, 100], 13],
    [[1, 2, 3], [3, 4, 5], [100, 101, 99, 104, 103], 100],
    [[1, 2, 3], [1, 4, 5], [101, 100, null, null, 50], 50],
  ])('%j and %j is what both commit', (voters, outgoing, indexes, expected) => {
    const all = [...new Set([...voters, ...outgoing])];
    expect(jointCommitted(voters, outgoing, acked(all, indexes))).toBe(expected);
  });
});

describe('a vote', () => {
  it.each<[readonly number[], string, VoteResult]>([
    [[], '', 'won'],
    [[1], '_', 'pending'],
    [[1], 'n', 'lost'],
    [[1, 2], 'yn', 'lost'],
    [[1, 2, 3], 'y__', 'pending'],
    [[1, 2, 3], 'yy_', 'won'],
    [[1, 2, 3], 'ynn', 'lost'],
    [[1, 2, 3, 4], 'nn__', 'lost'],
    [[1, 2, 3, 4], 'yyn_', 'pending'],
  ])('of voters %j that stands %s is %s', (voters, ballots, expected) => {
    expect(majorityVote(voters, votes(voters, ballots))).toBe(expected);
  });

  it.each<[readonly number[], readonly number[], string, VoteResult]>([
    [[1, 2, 3], [], 'yy_', 'won'],
    [[1], [2], 'y_', 'pending'],
    [[1], [2], 'yn', 'lost'],
    [[1, 2], [2, 3], 'yyy', 'won'],
    [[1, 2, 3], [2, 3, 4], '_nn_', 'lost'],
    [[1, 2, 3], [2, 3, 4], 'yyn_', 'pending'],
    [[1, 2, 3], [2, 3, 4], 'yynn', 'lost'],
    [[1, 2, 3], [2, 3, 4], 'yyny', 'won'],
  ])('of the halves %j and %j that stands %s is %s', (voters, outgoing, ballots, expected) => {
    const all = [...new Set([...voters, ...outgoing])];
    expect(jointVote(voters, outgoing, votes(all, ballots))).toBe(expected);
  });
});

/** Another way to the same answer: sort, and take the one that stands at the quorum. */
function committedBySorting(voters: readonly number[], indexes: Map<number, number>): number {
  if (voters.length === 0) return Number.POSITIVE_INFINITY;
  const sorted = voters.map((voter) => indexes.get(voter) ?? 0).sort((a, b) => b - a);
  return sorted[Math.floor(voters.length / 2)] as number;
}

describe('for random configurations', () => {
  it('what must not change the committed index or the vote does not', () => {
    const cases = lawCases(100_000);
    for (let seed = 0; seed < cases; seed++) {
      const draw = new Draw(seed);
      const voters = drawIds(draw, 0, 7, 9);
      const outgoing = drawIds(draw, 0, 7, 9);
      const indexes = new Map<number, number>();
      const ballots = new Map<number, boolean>();
      for (let id = 1; id <= 9; id++) {
        if (draw.chance(80)) indexes.set(id, 1 + draw.below(12));
        if (draw.chance(70)) ballots.set(id, draw.chance(60));
      }
      const label = `case ${seed}: ${JSON.stringify([voters, outgoing, [...indexes], [...ballots]])}`;
      const single = majorityCommitted(voters, indexes);
      const joint = jointCommitted(voters, outgoing, indexes);
      const vote = jointVote(voters, outgoing, ballots);
      expect(single, label).toBe(committedBySorting(voters, indexes));
      expect(jointCommitted(outgoing, voters, indexes), label).toBe(joint);
      expect(jointCommitted(voters, [], indexes), label).toBe(single);
      expect(jointCommitted(voters, voters, indexes), label).toBe(single);
      expect(jointVote(outgoing, voters, ballots), label).toBe(vote);
      expect(jointVote(voters, [], ballots), label).toBe(majorityVote(voters, ballots));
      expect(jointVote(voters, voters, ballots), label).toBe(majorityVote(voters, ballots));
      for (const [id, index] of indexes) {
        if (index >= joint) continue;
        const lowered = new Map(indexes).set(id, draw.below(index));
        expect(jointCommitted(voters, outgoing, lowered), label).toBe(joint);
      }
      // More votes never undo a verdict.
      if (vote === 'pending') continue;
      for (let id = 1; id <= 9; id++) {
        if (ballots.has(id)) continue;
        const more = new Map(ballots).set(id, draw.chance(50));
        expect(jointVote(voters, outgoing, more), label).toBe(vote);
      }
    }
  });
});
