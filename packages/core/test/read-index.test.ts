// Linearizable reads: thesis §6.4.

import { Configuration, messageKinds } from '@flotilla/core';
import { describe, expect, it } from 'vitest';
import { fieldsOf, Single } from './single.ts';

const { heartbeat, heartbeatAnswer, readIndex, readIndexAnswer } = messageKinds;

function leader(): Single {
  const node = new Single();
  node.lead();
  node.persist();
  node.ack(2, 1);
  return node;
}
function answer(node: Single, from: number, token: number): ReturnType<Single['receive']> {
  return node.receive(heartbeatAnswer, { from, term: node.core.term, token });
}

describe('ReadIndex (thesis §6.4)', () => {
  it('is refused where this replica does not lead', () => {
    expect(new Single().read().readToken).toBe(0);
  });

  it('asks in the same step, and is confirmed by a quorum with the index of its beginning', () => {
    const node = leader();
    const asked = node.read();
    expect(asked.now.map((m) => fieldsOf(m, 'kind', 'to', 'token'))).toEqual([
      { kind: heartbeat, to: 2, token: asked.readToken },
      { kind: heartbeat, to: 3, token: asked.readToken },
    ]);
    expect(asked.reads).toEqual([]);
    node.propose();
    node.persist();
    node.ack(2, 2);
    expect(answer(node, 3, asked.readToken).reads).toEqual([{ token: asked.readToken, index: 1 }]);
    expect(answer(node, 2, asked.readToken).reads).toEqual([]);
  });

  it('M11: an answer to an earlier round confirms nothing of a later one', () => {
    const node = leader();
    const first = node.read().readToken;
    const second = node.read().readToken;
    expect(second).toBeGreaterThan(first);
    expect(answer(node, 2, first).reads).toEqual([{ token: first, index: 1 }]);
    expect(answer(node, 3, first).reads).toEqual([]);
    expect(answer(node, 2, second).reads).toEqual([{ token: second, index: 1 }]);
  });

  it('an answer to a later round confirms all earlier ones', () => {
    const node = leader();
    node.read();
    const second = node.read().readToken;
    expect(answer(node, 3, second).reads).toEqual([{ token: second, index: 1 }]);
  });

  it('M10: no round begins before an entry of the own term is committed', () => {
    const node = new Single({ termEnds: [{ term: 2, lastIndex: 4 }], commit: 2 });
    node.lead();
    const early = node.read();
    const later = node.read();
    expect([early.now.length, later.now.length]).toEqual([0, 0]);
    expect(answer(node, 2, later.readToken).reads).toEqual([]);
    node.persist();
    const committed = node.ack(2, 5);
    expect(committed.committedTo).toBe(5);
    const asks = committed.now.filter((m) => m.kind === heartbeat).map((m) => m.token);
    // Under a number of its own, above all that was drawn before.
    const asked = later.readToken + 1;
    expect(asks).toEqual([asked, asked]);
    // The answer from before the round was none: node 3 has to answer now.
    expect(answer(node, 3, asked).reads).toEqual([{ token: later.readToken, index: 5 }]);
  });

  it('a lost question is repeated by the regular heartbeat, also in a busy group', () => {
    const node = leader();
    node.ack(3, 1);
    const token = node.read().readToken;
    node.nowMs = 15;
    node.propose();
    const again = node.tickAfter(5).now;
    expect(again.map((m) => fieldsOf(m, 'kind', 'token'))).toEqual([
      { kind: heartbeat, token },
      { kind: heartbeat, token },
    ]);
    answer(node, 2, token);
    expect(node.tickAfter(20).now.map((m) => m.token)).toEqual([0, 0]);
  });

  it('ends with the leadership', () => {
    const node = leader();
    const token = node.read().readToken;
    expect(node.receive(heartbeatAnswer, { from: 2, term: 2, token }).readsVoid).toBe(true);
    expect(answer(node, 3, token).reads).toEqual([]);
  });

  it('a sole voter confirms at once, after its first commit', () => {
    const node = new Single({ voters: [1] });
    node.campaign();
    node.persist();
    const held = node.read();
    expect(held.reads).toEqual([]);
    expect(node.persist().reads).toEqual([{ token: held.readToken, index: 1 }]);
    const next = node.read();
    expect(next.reads).toEqual([{ token: next.readToken, index: 1 }]);
  });

  it('keeps a bounded number of rounds, and confirms them all in the end', () => {
    const node = leader();
    let token = 0;
    for (let i = 0; i < 1000; i++) token = node.read().readToken;
    expect(answer(node, 2, token).reads).toEqual([{ token, index: 1 }]);
  });

  it('drops an answer to a question that was never asked', () => {
    const node = leader();
    const { readToken } = node.read();
    expect(answer(node, 2, readToken + 1).reads).toEqual([]);
    expect(node.core.ignoredCount).toBe(1);
  });
});

describe('a follower asks for a read index', () => {
  it('and is answered through the same rounds', () => {
    const node = leader();
    const asked = node.receive(readIndex, { from: 2, term: 1, token: 77 });
    const round = asked.now[0]?.token as number;
    const confirmed = answer(node, 3, round).now;
    expect(confirmed.map((m) => fieldsOf(m, 'kind', 'to', 'granted', 'token', 'index'))).toEqual([
      { kind: readIndexAnswer, to: 2, granted: true, token: 77, index: 1 },
    ]);
  });

  it('and is refused where no leader is, or is no more', () => {
    const refused = new Single({ term: 1 }).receive(readIndex, { from: 2, term: 1, token: 77 })
      .now[0];
    expect(fieldsOf(refused, 'kind', 'granted', 'token')).toEqual({
      kind: readIndexAnswer,
      granted: false,
      token: 77,
    });
    const node = leader();
    node.receive(readIndex, { from: 2, term: 1, token: 78 });
    const deposed = node.receive(heartbeatAnswer, { from: 3, term: 2 });
    expect(deposed.later.map((m) => fieldsOf(m, 'granted', 'token'))).toEqual([
      { granted: false, token: 78 },
    ]);
  });
});

describe('a read that wants a quorum in a group with leases', () => {
  const leased = Configuration.ofNodes([1, 2, 3]).withLease(100);

  it('asks a round although the lease would answer at once, and its answers come by quorum', () => {
    const node = new Single({ configuration: leased });
    node.nowMs = 100;
    node.lead();
    node.persist();
    node.ack(2, 1);
    const token = node.tickAfter(20).now[0]?.token ?? 0;
    answer(node, 2, token);
    expect(node.read().reads).toHaveLength(1);
    const asked = node.step({ kind: 'read', byQuorum: true });
    expect(asked.reads).toEqual([]);
    expect(asked.now.filter((m) => m.kind === heartbeat)).toHaveLength(2);
    expect(answer(node, 3, asked.readToken).reads).toEqual([{ token: asked.readToken, index: 1 }]);
  });

  it('is not confirmed by a later read that the lease would answer: that one waits for the quorum with it', () => {
    const node = new Single({ configuration: leased });
    node.nowMs = 100;
    node.lead();
    node.persist();
    node.ack(2, 1);
    const token = node.tickAfter(20).now[0]?.token ?? 0;
    answer(node, 2, token);
    const asked = node.step({ kind: 'read', byQuorum: true });
    const later = node.read();
    expect(later.reads).toEqual([]);
    expect(answer(node, 3, asked.readToken).reads).toEqual([{ token: asked.readToken, index: 1 }]);
    // With nobody left who wants a quorum, the lease answers again.
    expect(node.read().reads).toHaveLength(1);
  });

  it('is asked of a quorum also where it was held until the first commit of the term', () => {
    const node = new Single({ configuration: leased });
    node.nowMs = 100;
    node.lead();
    node.persist();
    const token = node.tickAfter(20).now[0]?.token ?? 0;
    answer(node, 2, token);
    const held = node.step({ kind: 'read', byQuorum: true });
    const begun = node.ack(2, 1);
    expect([held.reads, begun.reads]).toEqual([[], []]);
    expect(begun.now.some((m) => m.kind === heartbeat)).toBe(true);
  });
});
