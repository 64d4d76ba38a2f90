// Ticks of a core that is lent to a row (steady.ts), against one that is stepped: what a tick does, a lent core does at the
// same tick, and what needs no step is answered by the row. `Single` compares the two after every event.

import { Configuration, firstReplica, messageKinds, SteadyRows } from '@flotilla/core';
import { describe, expect, it } from 'vitest';
import { Draw } from './random-configurations.ts';
import { type Outcome, Single, type Start } from './single.ts';
import { steadyCounts } from './steady-twin.ts';

const { append, heartbeat, heartbeatAnswer } = messageKinds;

/** A leader of three whose first entry everybody holds. */
function steadyLeader(start: Start = {}): Single {
  const single = new Single({ isTwinned: true, ...start });
  // Whoever has just started keeps an earlier life's promise of a lease first.
  single.nowMs += 200;
  single.lead();
  expect(single.core.role).toBe('leader');
  single.persist();
  for (const from of single.core.voters) {
    if (from !== single.core.nodeId) single.ack(from, single.core.lastIndex);
  }
  expect(single.core.commitIndex).toBe(single.core.lastIndex);
  return single;
}

/** A follower of node 2, of term 1, with one entry. */
function steadyFollower(start: Start = {}): Single {
  const single = new Single({ isTwinned: true, ...start });
  appendFrom(single, 2, 1);
  single.persist();
  appendFrom(single, 2, 1);
  return single;
}

function appendFrom(single: Single, from: number, term: number): Outcome {
  const { core } = single;
  const prevIndex = core.lastIndex;
  return single.receive(append, {
    from,
    term,
    prevIndex,
    prevTerm: core.termAt(prevIndex),
    lastIndex: prevIndex + 1,
    entriesTerm: term,
    commit: prevIndex,
    stream: 1,
  });
}

/** Ticks that rows have answered since, leaders' and followers'. */
function answeredSince(before: typeof steadyCounts): { leader: number; follower: number } {
  return {
    leader: steadyCounts.leaderTick - before.leaderTick,
    follower: steadyCounts.followerTick - before.followerTick,
  };
}

describe('a tick of a lent leader', () => {
  it('is answered by its row while appends leave, and sends heartbeats an interval after the last one', () => {
    const single = steadyLeader();
    const before = { ...steadyCounts };
    for (let i = 0; i < 20; i++) {
      single.nowMs += 15;
      single.propose();
      expect(single.tickAfter(1).now).toEqual([]);
      single.persist();
      single.ack(2, single.core.lastIndex);
      single.ack(3, single.core.lastIndex);
    }
    // One is due after each interval of 20 ms; what comes early is not counted.
    expect(answeredSince(before).leader).toBe(10);
    expect(single.core.deadlineMs).toBeLessThanOrEqual(single.nowMs + 19);
    expect(single.tickAfter(18).now).toEqual([]);
    const due = single.tickAfter(1).now;
    expect(due.map(({ kind, to, commit }) => [kind, to, commit])).toEqual([
      [heartbeat, 2, single.core.commitIndex],
      [heartbeat, 3, single.core.commitIndex],
    ]);
  });

  it('sends a heartbeat to a follower that is probed, though appends to the others put theirs off', () => {
    const single = steadyLeader();
    single.step({ kind: 'peerLost', nodeId: 3 });
    const heartbeats: number[] = [];
    for (let i = 0; i < 20; i++) {
      single.nowMs += 9;
      single.propose();
      heartbeats.push(...single.tickAfter(1).now.map(({ to }) => to));
      single.persist();
      single.ack(2, single.core.lastIndex);
    }
    expect(heartbeats).toEqual(new Array(10).fill(3));
  });

  it('makes it step down once no quorum has answered for the election time-out, however busy it is', () => {
    const config = { checkQuorum: true, inflightMessagesMax: 9 };
    const single = steadyLeader({ config });
    const before = { ...steadyCounts };
    const heardMs = single.nowMs;
    while (single.core.role === 'leader' && single.nowMs < heardMs + 200) {
      single.nowMs += 14;
      single.propose();
      single.tickAfter(1);
    }
    expect(answeredSince(before).leader).toBeGreaterThan(2);
    // The tick at 90 ms moved the deadline to 109, an interval after the append before it.
    expect(single.core.role).toBe('follower');
    expect(single.nowMs).toBe(heardMs + 120);
  });

  it('renews a lease with every interval, however busy it is', () => {
    const voters = [1, 2, 3].map(firstReplica);
    const single = steadyLeader({ configuration: new Configuration({ voters, leaseMs: 110 }) });
    let asked = 0;
    for (let i = 0; i < 40; i++) {
      single.nowMs += 9;
      single.propose();
      const { now } = single.tickAfter(1);
      asked += now.length;
      single.persist();
      for (const from of [2, 3]) {
        const { term, lastIndex } = single.core;
        single.ack(from, lastIndex);
        const question = now.find(({ to }) => to === from);
        if (question !== undefined)
          single.receive(heartbeatAnswer, { from, term, token: question.token });
      }
    }
    expect(asked).toBe(2 * 20);
    expect(single.core.hasLease(single.nowMs)).toBe(true);
  });

  it('repeats the question of an open read round, however busy it is', () => {
    const single = steadyLeader();
    single.read();
    const tokens: number[] = [];
    for (let i = 0; i < 4; i++) {
      single.nowMs += 19;
      single.propose();
      tokens.push(...single.tickAfter(1).now.map(({ token }) => token));
      single.persist();
      single.ack(2, single.core.lastIndex);
      single.ack(3, single.core.lastIndex);
    }
    expect(tokens.length).toBeGreaterThanOrEqual(6);
    expect(new Set(tokens).size).toBe(1);
  });
});

describe('a tick of a lent follower', () => {
  it('is answered by its row while the leader is heard, and campaigns a time-out after the last append', () => {
    const single = steadyFollower();
    const before = { ...steadyCounts };
    for (let i = 0; i < 40; i++) {
      single.nowMs += 29;
      appendFrom(single, 2, 1);
      expect(single.tickAfter(1).now).toEqual([]);
    }
    expect(answeredSince(before).follower).toBeGreaterThanOrEqual(5);
    const heardMs = single.nowMs - 1;
    while (single.core.role === 'follower' && single.nowMs < heardMs + 300) {
      single.nowMs = Math.max(single.nowMs, single.core.deadlineMs);
      single.tickAfter(0);
    }
    expect(single.core.role).toBe('candidate');
    expect(single.nowMs).toBeGreaterThanOrEqual(heardMs + 100);
    expect(single.nowMs).toBeLessThan(heardMs + 200);
  });

  it('is never due where it has no vote', () => {
    const voters = [2, 3].map(firstReplica);
    const learners = [firstReplica(1)];
    const single = steadyFollower({ configuration: new Configuration({ voters, learners }) });
    for (let i = 0; i < 4; i++) single.tickAfter(150);
    expect(single.core.role).toBe('follower');
    expect(single.core.deadlineMs).toBe(Number.POSITIVE_INFINITY);
  });
});

describe('ticks of a lent core', () => {
  const seeds = Number(process.env.FLOTILLA_TWIN_SEEDS ?? 30);

  it('do at any time, early and late, what they do to one that is stepped: leaders', () => {
    const before = { ...steadyCounts };
    for (let seed = 1; seed <= seeds; seed++) runLeader(new Draw(seed), seed);
    expect(answeredSince(before).leader).toBeGreaterThan(10 * seeds);
  });

  it('do at any time, early and late, what they do to one that is stepped: followers', () => {
    const before = { ...steadyCounts };
    for (let seed = 1; seed <= seeds; seed++) runFollower(new Draw(seed));
    expect(answeredSince(before).follower).toBeGreaterThan(10 * seeds);
  });
});

/** A leader among followers that come and go, at times busy, at times idle. */
function runLeader(random: Draw, seed: number): void {
  const voters = [1, 2, 3, 4, 5].slice(0, random.chance(70) ? 3 : 5).map(firstReplica);
  const leaseMs = random.chance(20) ? 110 : 0;
  const single = steadyLeader({
    seed,
    configuration: new Configuration({ voters, leaseMs }),
    config: { checkQuorum: random.chance(50), inflightMessagesMax: 1 + random.below(9) },
  });
  const { core } = single;
  let away = 0;
  let paceMs = 1;
  for (let turn = 0; turn < 1500; turn++) {
    if (core.role !== 'leader') {
      single.nowMs += 200;
      single.lead();
      continue;
    }
    if (random.chance(1)) away = random.below(64);
    if (random.chance(2)) paceMs = 1 + random.below(12);
    single.nowMs += random.below(paceMs + 1);
    const from = 2 + random.below(voters.length - 1);
    const isThere = (away & (1 << from)) === 0;
    const way = random.below(100);
    if (way < 30) single.propose(1 + random.below(3));
    else if (way < 45) single.persist();
    else if (way < 70) {
      const progress = core.progress(from);
      if (isThere && progress !== null) single.ack(from, progress.next - 1);
    } else if (way < 75) {
      const token = random.below(2) === 0 ? 0 : single.read().readToken;
      if (isThere) single.receive(heartbeatAnswer, { from, term: core.term, token });
    } else if (way < 76) {
      single.step({ kind: isThere ? 'peerBack' : 'peerLost', nodeId: from });
    } else if (way < 80) single.tickAfter(0);
    else if (core.deadlineMs <= single.nowMs) single.tickAfter(random.below(3));
  }
}

/** A follower of leaders that come and go. */
function runFollower(random: Draw): void {
  const single = steadyFollower({ seed: random.below(1 << 30), config: { checkQuorum: true } });
  const { core } = single;
  let leader = 2;
  let term = 1;
  let isThere = true;
  for (let turn = 0; turn < 1500; turn++) {
    single.nowMs += random.below(12);
    if (random.chance(1)) isThere = !isThere;
    if (core.term > term) {
      // The next one leads in a later term.
      term = core.term + 1;
      leader = 2 + random.below(2);
    }
    const way = random.below(100);
    if (way < 40) {
      if (isThere) appendFrom(single, leader, term);
    } else if (way < 50) {
      if (isThere) single.receive(heartbeat, { from: leader, term, commit: core.lastIndex });
    } else if (way < 65) single.persist();
    else if (way < 70) single.tickAfter(0);
    else if (core.deadlineMs <= single.nowMs) single.tickAfter(random.below(3));
  }
}

describe('a table of rows that grows', () => {
  it('asks for memory once it is large, keeps what it holds, and does without where there is none', () => {
    const asked: number[] = [];
    const limits = { inflightMessagesMax: 4, inflightBytesMax: 1024 };
    const rows = new SteadyRows(limits, (bytes) => {
      asked.push(bytes);
      return asked.length === 2 ? null : new SharedArrayBuffer(bytes);
    });
    const { core } = steadyLeader();
    rows.addRow(3);
    expect(core.lend(rows, 3)).toBe(true);
    expect(asked).toEqual([]);
    const before = [rows.term(3), rows.lastIndex(3), rows.commitIndex(3), rows.isLeader(3)];
    for (const row of [600, 1100, 2100]) {
      rows.addRow(row);
      expect(rows.isLent(row)).toBe(false);
      expect([rows.term(3), rows.lastIndex(3), rows.commitIndex(3), rows.isLeader(3)]).toEqual(
        before,
      );
    }
    expect(asked.map((bytes) => bytes % 448)).toEqual([0, 0, 0, 0]);
    core.reclaim();
  });
});
