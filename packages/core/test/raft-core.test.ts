// Starting a core, and what it refuses to start from.

import { Effects, messageKinds, RaftCore } from '@flotilla/core';
import { describe, expect, it } from 'vitest';
import { InflightWindow } from '../src/progress.ts';
import { baseConfig, evenLog, Single, threeVoters } from './single.ts';

const boot = {
  term: 0,
  votedFor: 0,
  commit: 0,
  firstIndex: 1,
  prevTerm: 0,
  termEnds: [],
  log: evenLog,
  configuration: threeVoters,
  seed: 1,
};

describe('starting', () => {
  it.each([
    { nodeId: 0 },
    { nodeId: 1.5 },
    { heartbeatMs: 0 },
    { heartbeatMs: 100 },
    { electionMsMin: 200 },
    { electionMsMax: Number.POSITIVE_INFINITY },
    { inflightMessagesMax: 0 },
    { inflightBytesMax: 0 },
    { appendBytesMax: 0 },
  ])('refuses a configuration that makes no sense: %j', (wrong) => {
    expect(() => new RaftCore({ ...baseConfig, ...wrong }, boot, 0)).toThrow(RangeError);
  });

  it.each([
    { term: -1 },
    { term: Number.NaN },
    { votedFor: 0.5 },
    { commit: 2 ** 53 },
    { term: 2, termEnds: [{ term: 3, lastIndex: 1 }] },
    { generation: -1 },
    { tokenBase: 0.5 },
    { configurations: [{ index: 1, configuration: threeVoters }] },
  ])('refuses a boot state that cannot be: %j', (wrong) => {
    expect(() => new RaftCore(baseConfig, { ...boot, ...wrong }, 0)).toThrow(RangeError);
  });

  it('knows the terms of its log, the one before it, and no others', () => {
    const node = new Single({ firstIndex: 5, prevTerm: 2, termEnds: [{ term: 4, lastIndex: 6 }] });
    expect([3, 4, 5, 6, 7].map((index) => node.core.termAt(index))).toEqual([0, 2, 4, 4, 0]);
    expect(node.core.commitIndex).toBe(4);
  });

  it('keeps its vote across a restart (Raft §5.2)', () => {
    const node = new Single({ term: 4, votedFor: 3 });
    const asked = node.receive(messageKinds.vote, { from: 2, term: 4 });
    expect(asked.now[0]?.granted).toBe(false);
  });
});

describe('effects', () => {
  it('of steps that append nothing may be gathered', () => {
    const core = new RaftCore(baseConfig, boot, 0);
    const out = new Effects();
    const asks = [2, 3].map((from) => ({ kind: messageKinds.vote, from, term: from }));
    for (const ask of asks) {
      const message = Object.assign(new Effects().messages.push(), ask);
      core.step({ kind: 'message', message }, 0, out);
    }
    expect([out.hardStateChanged, out.term, out.votedFor]).toEqual([true, 3, 3]);
    expect(out.afterPersist.count).toBe(2);
  });
});

describe('the inflight window', () => {
  it('frees by last index, in order, around the end of its ring', () => {
    const limits = { inflightMessagesMax: 5, inflightBytesMax: 1000 };
    const window = new InflightWindow();
    let freed = 0;
    for (let index = 1; index <= 200; index++) {
      window.add(index, index, limits);
      if (window.isFull(limits)) {
        freed = index - (index % 3);
        window.freeTo(freed);
      }
      let bytes = 0;
      for (let i = freed + 1; i <= index; i++) bytes += i;
      expect([window.count, window.bytes]).toEqual([index - freed, bytes]);
    }
    window.freeTo(200);
    window.release();
    window.add(201, 7, limits);
    expect([window.count, window.bytes, window.lastIndexOf(0)]).toEqual([1, 7, 201]);
  });
});
