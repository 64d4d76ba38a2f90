// The quorum arithmetic of packages/core against etcd's tables: the committed index and the vote of majority and joint
// configurations. On every case the laws that its author checked are checked too: swapping the halves, joining with an
// empty half and with itself change nothing, and lowering an index that is below the answer already changes nothing.
//
//   committed cfg=(ids) [cfgj=(ids)|cfgj=zero] idx=(n|_ ...)     expected: a chart, and in the last line the index or ∞
//   vote      cfg=(ids) [cfgj=(ids)|cfgj=zero] votes=(y|n|_ ...)
//
// The values belong to the distinct voters in the order in which they are named; `_` = nothing is known of that one.

import {
  jointCommitted,
  jointVote,
  majorityCommitted,
  majorityVote,
  type VoteResult,
  votersMax,
} from '@flotilla/core';
import { type Case, parseCases } from './datadriven.ts';
import { type FileResult, Tally } from './suite.ts';

/** Throws DataError. */
export function checkQuorum(file: string, text: string): FileResult {
  const tally = new Tally();
  for (const each of parseCases(file, text)) {
    tally.count(file, each.line, problemOf(each));
  }
  return tally.result();
}

interface Voters {
  readonly voters: readonly number[];
  /** Null where the case means the functions of one majority. */
  readonly outgoing: readonly number[] | null;
}

function problemOf(each: Case): string | null {
  const { directive, args } = each;
  if (directive !== 'committed' && directive !== 'vote') {
    throw args.error(`unknown directive ${directive}`);
  }
  if (each.input.length > 0) throw args.error(`${directive} takes no input`);
  const config = takeVoters(each);
  const all = [...new Set([...config.voters, ...(config.outgoing ?? [])])];
  if (all.length > votersMax) throw args.error(`at most ${votersMax} voters are possible`);
  const values = args.takeList(directive === 'vote' ? 'votes' : 'idx') ?? [];
  args.finish();
  const expected = /\S+$/.exec(each.expected.at(-1)?.replace('>∞', '> ∞') ?? '')?.[0];
  if (expected === undefined) throw args.error('no output is expected');
  if (values.length !== all.length) {
    // What the reference says of it is not ours to repeat: only that it is an error.
    const isExpected = expected.startsWith('error: mismatched input');
    return isExpected ? null : `${values.length} values do not fit ${all.length} voters`;
  }
  return directive === 'vote'
    ? voteProblem(each, config, all, values, expected)
    : committedProblem(each, config, all, values, expected);
}

function takeVoters({ args }: Case): Voters {
  const outgoing = args.takeList('cfgj');
  const ids = (list: readonly string[]): number[] => list.map((word) => args.number(word, 'an id'));
  return {
    voters: ids(args.takeList('cfg') ?? []),
    outgoing: outgoing === null ? null : ids(outgoing[0] === 'zero' ? [] : outgoing),
  };
}

function committedProblem(
  { args }: Case,
  config: Voters,
  all: readonly number[],
  values: readonly string[],
  expected: string,
): string | null {
  const acked = new Map<number, number>();
  values.forEach((value, at) => {
    if (value !== '_') acked.set(all[at] as number, args.number(value, 'an index'));
  });
  const { voters, outgoing } = config;
  const committed = (map: ReadonlyMap<number, number>): number =>
    outgoing === null ? majorityCommitted(voters, map) : jointCommitted(voters, outgoing, map);
  const got = committed(acked);
  if (!/^(?:\d+|∞)$/.test(expected)) throw args.error(`not an index: ${expected}`);
  if (expected !== (got === Number.POSITIVE_INFINITY ? '∞' : String(got))) {
    return `committed: ${expected} is right, not ${got}`;
  }
  const half = outgoing ?? [];
  if (jointCommitted(half, voters, acked) !== got) return 'committed: swapping the halves matters';
  if (outgoing === null && jointCommitted(voters, voters, acked) !== got) {
    return 'committed: joining a configuration with itself matters';
  }
  for (const [voter, index] of acked) {
    if (index >= got) continue;
    if (committed(new Map([...acked, [voter, 0]])) !== got) {
      return `committed: lowering ${voter}, which is below the index, matters`;
    }
  }
  return null;
}

const voteNames: Readonly<Record<VoteResult, string>> = {
  won: 'VoteWon',
  lost: 'VoteLost',
  pending: 'VotePending',
};

function voteProblem(
  { args }: Case,
  config: Voters,
  all: readonly number[],
  values: readonly string[],
  expected: string,
): string | null {
  const votes = new Map<number, boolean>();
  values.forEach((value, at) => {
    if (value !== 'y' && value !== 'n' && value !== '_') throw args.error(`not a vote: ${value}`);
    if (value !== '_') votes.set(all[at] as number, value === 'y');
  });
  const { voters, outgoing } = config;
  const got = outgoing === null ? majorityVote(voters, votes) : jointVote(voters, outgoing, votes);
  if (!Object.values(voteNames).includes(expected)) throw args.error(`not a result: ${expected}`);
  if (voteNames[got] !== expected) return `vote: ${expected} is right, not ${voteNames[got]}`;
  if (jointVote(outgoing ?? [], voters, votes) !== got) return 'vote: swapping the halves matters';
  if (outgoing === null && jointVote(voters, voters, votes) !== got) {
    return 'vote: joining a configuration with itself matters';
  }
  return null;
}
