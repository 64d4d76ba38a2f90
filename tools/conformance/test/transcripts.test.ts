// The comparison of transcripts, on one of our own: what agrees passes, and every kind of untruth in it is found. A
// comparison that lets one of them through would let a wrong core through.

import { describe, expect, it } from 'vitest';
import { checkTranscript } from '../src/interaction/transcripts.ts';
import { testCase } from './scratch.ts';

/** Three nodes elect the first one, which commits a command. As the reference would tell it. */
const election = [
  testCase('add-nodes 3 voters=(1,2,3) index=5', [], ['ok']),
  testCase('campaign 1', [], ['INFO 1 is starting a new election at term 0']),
  testCase(
    'stabilize',
    [],
    [
      '> 1 handling Ready',
      '  Ready MustSync=true:',
      '  Lead:0 State:StateCandidate',
      '  HardState Term:1 Vote:1 Commit:5',
      '  Messages:',
      '  1->2 MsgVote Term:1 Log:1/5',
      '  1->3 MsgVote Term:1 Log:1/5',
      '> 2 receiving messages',
      '  1->2 MsgVote Term:1 Log:1/5',
      '> 2 handling Ready',
      '  Ready MustSync=true:',
      '  HardState Term:1 Vote:1 Commit:5',
      '  Messages:',
      '  2->1 MsgVoteResp Term:1 Log:0/0',
      '> 3 handling Ready',
      '  Ready MustSync=true:',
      '  HardState Term:1 Vote:1 Commit:5',
      '  Messages:',
      '  3->1 MsgVoteResp Term:1 Log:0/0',
      '> 1 handling Ready',
      '  Ready MustSync=true:',
      '  Lead:1 State:StateLeader',
      '  Entries:',
      '  1/6 EntryNormal ""',
      '  Messages:',
      '  1->2 MsgApp Term:1 Log:1/5 Commit:5 Entries:[1/6 EntryNormal ""]',
      '  1->3 MsgApp Term:1 Log:1/5 Commit:5 Entries:[1/6 EntryNormal ""]',
      '> 2 handling Ready',
      '  Ready MustSync=true:',
      '  Lead:1 State:StateFollower',
      '  Entries:',
      '  1/6 EntryNormal ""',
      '  Messages:',
      '  2->1 MsgAppResp Term:1 Log:0/6',
      '> 3 handling Ready',
      '  Ready MustSync=true:',
      '  Lead:1 State:StateFollower',
      '  Entries:',
      '  1/6 EntryNormal ""',
      '  Messages:',
      '  3->1 MsgAppResp Term:1 Log:0/6',
      '> 1 handling Ready',
      '  Ready MustSync=false:',
      '  HardState Term:1 Vote:1 Commit:6',
      '  CommittedEntries:',
      '  1/6 EntryNormal ""',
      '  Messages:',
      '  1->2 MsgApp Term:1 Log:1/6 Commit:6',
      '  1->3 MsgApp Term:1 Log:1/6 Commit:6',
      ...[2, 3].flatMap((id) => [
        `> ${id} handling Ready`,
        '  Ready MustSync=false:',
        '  HardState Term:1 Vote:1 Commit:6',
        '  CommittedEntries:',
        '  1/6 EntryNormal ""',
        '  Messages:',
        `  ${id}->1 MsgAppResp Term:1 Log:0/6`,
      ]),
    ],
  ),
  testCase(
    'raft-state',
    [],
    [
      '1: StateLeader (Voter) Term:1 Lead:1',
      '2: StateFollower (Voter) Term:1 Lead:1',
      '3: StateFollower (Voter) Term:1 Lead:1',
    ],
  ),
  testCase(
    'status 1',
    [],
    [
      '1: StateReplicate match=6 next=7',
      '2: StateReplicate match=6 next=7',
      '3: StateReplicate match=6 next=7',
    ],
  ),
  testCase('raft-log 2', [], ['1/6 EntryNormal ""']),
].join('');

describe('a transcript', () => {
  it('that our cores follow reaches G1, and says how much was compared', () => {
    const result = checkTranscript('own.txt', election, []);
    expect(result).toMatchObject({ level: 'G1', failures: [], differences: [] });
    expect(result.note).toMatch(/^G1: \d{3} fields, 12 messages$/);
  });

  it.each([
    [
      'a term',
      'HardState Term:1 Vote:1 Commit:5\n  Messages:\n  3',
      'HardState Term:2 Vote:1 Commit:5\n  Messages:\n  3',
    ],
    [
      'a vote',
      'HardState Term:1 Vote:1 Commit:5\n  Messages:\n  2',
      'HardState Term:1 Vote:2 Commit:5\n  Messages:\n  2',
    ],
    ['a commit index', 'Commit:6\n  CommittedEntries', 'Commit:7\n  CommittedEntries'],
    [
      'a commit index that is too low',
      'Commit:6\n  CommittedEntries',
      'Commit:5\n  CommittedEntries',
    ],
    ['an applied index', 'CommittedEntries:\n  1/6', 'CommittedEntries:\n  1/7'],
    ['a role', 'Lead:1 State:StateLeader', 'Lead:1 State:StateFollower'],
    ['a leader', 'Lead:1 State:StateFollower', 'Lead:3 State:StateFollower'],
    [
      'an entry',
      '  Entries:\n  1/6 EntryNormal ""\n  Messages:\n  2',
      '  Entries:\n  1/6 EntryNormal "x"\n  Messages:\n  2',
    ],
    [
      'the end of a log',
      '  Entries:\n  1/6 EntryNormal ""\n  Messages:\n  3',
      '  Entries:\n  1/6 EntryNormal ""\n  1/7 EntryNormal ""\n  Messages:\n  3',
    ],
    ['a state on request', '2: StateFollower (Voter)', '2: StateFollower (Non-Voter)'],
    ['a match index', '3: StateReplicate match=6', '3: StateReplicate match=5'],
    [
      'a log on request',
      '----\n1/6 EntryNormal ""',
      '----\n1/6 EntryNormal ""\n1/7 EntryNormal ""',
    ],
    [
      'a configuration',
      'stabilize\n----\n',
      'stabilize\n----\nINFO 2 switched to configuration voters=(1 2)\n',
    ],
  ])('with %s that is not true fails at G2', (_what, truth, untruth) => {
    expect(election).toContain(truth);
    const result = checkTranscript('own.txt', election.replace(truth, untruth), []);
    expect(result).toMatchObject({ level: 'none', passed: 0 });
    expect(result.failures[0]).toMatch(/^own\.txt:\d+: /);
  });

  it.each([
    ['another term', '1->2 MsgVote Term:1 Log:1/5\n  1->3', '1->2 MsgVote Term:2 Log:1/5\n  1->3'],
    ['another place', '1->3 MsgVote Term:1 Log:1/5\n> 2', '1->3 MsgVote Term:1 Log:1/4\n> 2'],
    [
      'another commit index',
      'Log:1/5 Commit:5 Entries:[1/6 EntryNormal ""]\n  1->3',
      'Log:1/5 Commit:4 Entries:[1/6 EntryNormal ""]\n  1->3',
    ],
    [
      'a refusal',
      '3->1 MsgVoteResp Term:1 Log:0/0',
      '3->1 MsgVoteResp Term:1 Log:0/0 Rejected (Hint: 0)',
    ],
    ['another acknowledgement', '3->1 MsgAppResp Term:1 Log:0/6', '3->1 MsgAppResp Term:1 Log:0/5'],
    [
      'one message more',
      '  1->3 MsgVote Term:1 Log:1/5\n> 2',
      '  1->3 MsgVote Term:1 Log:1/5\n  1->3 MsgHeartbeat Term:1 Log:0/0 Commit:5\n> 2',
    ],
    ['one message less', '  1->3 MsgVote Term:1 Log:1/5\n> 2', '> 2'],
  ])('with %s reaches G2 only', (_what, truth, untruth) => {
    expect(election).toContain(truth);
    const result = checkTranscript('own.txt', election.replace(truth, untruth), []);
    expect(result.level).toBe('G2');
    expect(result.differences.length).toBeGreaterThan(0);
  });

  it('that uses what we do not offer fails, unless it is a listed deviation', () => {
    const forgetting =
      election + testCase('forget-leader 2', [], ['INFO 2 forgetting leader 1 at term 1']);
    expect(checkTranscript('own.txt', forgetting, [])).toMatchObject({ level: 'none' });
    expect(checkTranscript('own.txt', forgetting, ['noForgetLeader'])).toMatchObject({
      level: 'G1',
    });
  });

  it('with a command or an output that nobody knows is not judged', () => {
    const odd = election + testCase('explode 1', [], ['ok']);
    expect(() => checkTranscript('own.txt', odd, [])).toThrow(
      /own\.txt:\d+: unknown command explode/,
    );
    const said = election.replace('  Lead:1 State:StateLeader', '  Lead:1 Mood:Good');
    expect(() => checkTranscript('own.txt', said, [])).toThrow(/output that is not understood/);
  });
});
