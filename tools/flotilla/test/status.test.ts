import type { KvGroupStatus } from '@flotilla/kv';
import { describe, expect, it } from 'vitest';
import { mergeGroups } from '../src/status.ts';
import { textTable } from '../src/text-table.ts';

const replica = (fields: Partial<KvGroupStatus>): KvGroupStatus => ({
  groupId: 7,
  role: 'follower',
  term: 1,
  leader: 0,
  commitIndex: 0,
  appliedIndex: 0,
  lastIndex: 0,
  generation: 1,
  members: [1, 2, 3],
  membership: {
    voters: [1, 2, 3].map((nodeId) => ({ nodeId, generation: 1, instance: 0 })),
    votersOutgoing: [],
    learners: [],
    learnersNext: [],
    leaseMs: 0,
    index: 0,
    term: 0,
    isCommitted: true,
  },
  progress: null,
  keys: 0,
  stateHash: 0,
  ...fields,
});

describe('the status of a group', () => {
  it('is what its leader says, not what followers believe', () => {
    const [row] = mergeGroups(
      new Map([
        [1, [replica({ commitIndex: 90, leader: 3 })]],
        [2, [replica({ role: 'leader', commitIndex: 80, appliedIndex: 79 })]],
        [3, [replica({ commitIndex: 99, leader: 2 })]],
      ]),
    );
    expect(row).toEqual({
      id: 7,
      leader: 2,
      term: 1,
      commitIndex: 80,
      appliedIndex: 79,
      members: [1, 2, 3],
    });
  });

  it('is that of the later term where a deposed leader does not know it yet', () => {
    const [row] = mergeGroups(
      new Map([
        [1, [replica({ role: 'leader', term: 5, commitIndex: 10 })]],
        [2, [replica({ role: 'leader', term: 4, commitIndex: 20 })]],
      ]),
    );
    expect(row).toMatchObject({ leader: 1, term: 5, commitIndex: 10 });
  });

  it('names no leader where none says that it leads', () => {
    const rows = mergeGroups(
      new Map([[1, [replica({ leader: 2, term: 3 }), replica({ groupId: 1 })]]]),
    );
    expect(rows.map(({ id, leader }) => [id, leader])).toEqual([
      [1, 0],
      [7, 0],
    ]);
  });
});

describe('a table', () => {
  it('puts numbers to the right and words to the left', () => {
    expect(
      textTable(
        ['id', 'state', 'n'],
        [
          ['1', 'up', '1,000'],
          ['12', 'waiting', '-'],
        ],
      ),
    ).toBe(['id  state        n', ' 1  up       1,000', '12  waiting      -'].join('\n'));
  });
});
