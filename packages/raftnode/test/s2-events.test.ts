// Seed 002, rows S2-01 to S2-10: events, time, proposals.

import { type Action, type Event, MemoryLog, RaftNode } from '@flotilla/raftnode';
import { withoutAmbient } from '@flotilla/testkit';
import { describe, expect, expectTypeOf, it, vi } from 'vitest';
import { bytes, Cluster, codeOf, drawer, text } from './cluster.ts';

/** Random events on three nodes; answers every action as text. */
function fuzz(seed: number, count: number): string[] {
  const draw = drawer(seed);
  const cluster = new Cluster([1, 2, 3], { snapshotThreshold: 20, seed });
  const lines: string[] = [];
  const step = (id: number, event: Event): void => {
    try {
      cluster.step(id, event);
    } catch (error) {
      lines.push(`${id} ${(error as { code?: string }).code}`);
    }
  };
  for (let i = 0; i < count; i++) {
    const id = 1 + draw(3);
    const kind = draw(100);
    if (kind < 30) step(id, { type: 'tick' });
    else if (kind < 45) step(id, { type: 'propose', command: bytes(`c${i}`) });
    else if (kind < 47) step(id, { type: 'transferLeadership', target: 1 + draw(3) });
    else if (kind < 49) {
      step(id, { type: 'snapshot', index: cluster.node(id).lastApplied, data: bytes(`s${i}`) });
    } else if (kind < 50) {
      const nodeId = 1 + draw(4);
      step(id, draw(2) === 0 ? { type: 'addServer', nodeId } : { type: 'removeServer', nodeId });
    } else if (cluster.queue.length > 0) {
      const [message] = cluster.queue.splice(draw(cluster.queue.length), 1);
      const isLost = draw(100) < 10;
      if (message !== undefined && !isLost && cluster.nodes.has(message.to)) {
        step(message.to, { type: 'message', message });
      }
    }
  }
  for (const { id, action } of cluster.actions) {
    const line = JSON.stringify(action, (_key, value) =>
      value instanceof Uint8Array ? text(value) : value,
    );
    lines.push(`${id} ${line}`);
  }
  return lines;
}

describe('events and time', () => {
  it('S2-01: a node changes only by the events that it is stepped with: it has no clock, timer or chance', () => {
    const whole = fuzz(3, 3000);
    // Neither needs what the run-time has of time, timers and chance,
    expect(withoutAmbient(() => fuzz(3, 3000))).toEqual(whole);
    // nor does anything happen while one waits.
    vi.useFakeTimers();
    try {
      const cluster = new Cluster([1, 2, 3]);
      cluster.elect(1);
      cluster.propose(1, 'a');
      const stateOf = (id: number): unknown => {
        const { role, term, leader, commitIndex, lastApplied, lastIndex, members } =
          cluster.node(id);
        return { role, term, leader, commitIndex, lastApplied, lastIndex, members };
      };
      const before = cluster.ids.map(stateOf);
      vi.advanceTimersByTime(3_600_000);
      expect(vi.getTimerCount()).toBe(0);
      expect(cluster.ids.map(stateOf)).toEqual(before);
      cluster.settle();
      cluster.round(5);
      expect(cluster.commandsOf(3)).toEqual(['a']);
    } finally {
      vi.useRealTimers();
    }
  });

  it('S2-02: there are seven events, and an eighth is refused by the compiler and at run time', () => {
    expectTypeOf<Event['type']>().toEqualTypeOf<
      | 'tick'
      | 'message'
      | 'propose'
      | 'snapshot'
      | 'addServer'
      | 'removeServer'
      | 'transferLeadership'
    >();
    const node = new RaftNode({ id: 1 });
    while (!node.isLeader) node.step({ type: 'tick' });
    const message = { type: 'heartbeatReply', from: 2, to: 1, term: 1 } as const;
    const events: Event[] = [
      { type: 'tick' },
      { type: 'message', message },
      { type: 'propose', command: bytes('a') },
      { type: 'snapshot', index: 1, data: bytes('s') },
      { type: 'removeServer', nodeId: 7 },
      { type: 'transferLeadership', target: 7 },
      { type: 'addServer', nodeId: 2 },
    ];
    for (const event of events) expect(() => node.step(event)).not.toThrow();
    // @ts-expect-error An event that does not exist.
    expect(() => node.step({ type: 'pause' })).toThrow(TypeError);
    expect(() => node.step({ type: 'tick' })).not.toThrow();
  });

  it('S2-03: the same options and events give the same actions, in the same order', () => {
    const first = fuzz(7, 10_000);
    expect(first.length).toBeGreaterThan(3000);
    expect(first.some((line) => line.includes('"apply"'))).toBe(true);
    expect(fuzz(7, 10_000)).toEqual(first);
    expect(fuzz(8, 10_000)).not.toEqual(first);
  });

  it('S2-04: time is counted in ticks, however far apart they are', () => {
    const decisions = (tickIntervalMs: number): (string | number)[] => {
      const node = new RaftNode({ id: 1, voters: [1, 2, 3], seed: 4 });
      const seen: (string | number)[] = [];
      for (let tick = 1; tick <= 60; tick++) {
        vi.advanceTimersByTime(tickIntervalMs);
        const actions = node.step({ type: 'tick' });
        if (actions.length > 0) seen.push(tick, ...actions.map(({ type }) => type));
      }
      return seen;
    };
    vi.useFakeTimers();
    try {
      const startedMs = Date.now();
      const often = decisions(1);
      expect(Date.now() - startedMs).toBe(60);
      expect(often.length).toBeGreaterThan(2);
      expect(decisions(1000)).toEqual(often);
      expect(Date.now() - startedMs).toBe(60_060);
    } finally {
      vi.useRealTimers();
    }
  });

  it('S2-05: a silent follower campaigns between tick 10 and 20, seeded; a leader heartbeats every third tick', () => {
    const delays = new Set<number>();
    for (let seed = 0; seed < 200; seed++) {
      const node = new RaftNode({ id: 1, voters: [1, 2, 3], seed });
      let ticks = 0;
      for (let actions: readonly Action[] = []; actions.length === 0; ticks++) {
        actions = node.step({ type: 'tick' });
      }
      expect(ticks).toBeGreaterThanOrEqual(10);
      expect(ticks).toBeLessThanOrEqual(20);
      delays.add(ticks);
    }
    expect(delays.size).toBeGreaterThan(6);
    const cluster = new Cluster([1, 2, 3], { checkQuorum: false });
    cluster.elect(1);
    const beats = Array.from({ length: 12 }, () => cluster.tick(1).length);
    expect(beats).toEqual([0, 0, 2, 0, 0, 2, 0, 0, 2, 0, 0, 2]);
  });

  it('S2-06: with 30 % loss, duplication and reordering nothing unsafe happens and commands get through', () => {
    for (let seed = 1; seed <= 5; seed++) {
      const draw = drawer(seed);
      const cluster = new Cluster([1, 2, 3, 4, 5], { seed });
      let proposed = 0;
      for (let i = 0; i < 20_000; i++) {
        const kind = draw(100);
        if (kind < 12) cluster.tick(1 + draw(5));
        else if (kind < 15) {
          const leader = [...cluster.nodes.values()].find((each) => each.isLeader);
          if (leader !== undefined) {
            cluster.propose(leader.id, `c${proposed++}`);
          }
        } else if (cluster.queue.length > 0) {
          const at = draw(cluster.queue.length);
          const message = cluster.queue[at];
          if (draw(100) >= 15) cluster.queue.splice(at, 1);
          if (message !== undefined && draw(100) >= 30) {
            cluster.step(message.to, { type: 'message', message });
          }
        }
        if (cluster.queue.length > 500) cluster.queue.splice(0, 250);
      }
      const counts = cluster.ids.map((id) => cluster.commandsOf(id).length);
      expect(Math.max(...counts), `seed ${seed}`).toBeGreaterThan(20);
    }
  });
});

describe('proposals', () => {
  it('S2-07: only a leader takes a proposal; elsewhere the error names the leader, and nothing changes', () => {
    const cluster = new Cluster([1, 2, 3]);
    const stateOf = (id: number): string => {
      const { term, lastIndex, commitIndex, leader, role } = cluster.node(id);
      return JSON.stringify({ term, lastIndex, commitIndex, leader, role });
    };
    const before = stateOf(1);
    expect(() => cluster.propose(1, 'a')).toThrow(
      expect.objectContaining({ code: 'NOT_LEADER', details: { leaderHint: null } }),
    );
    expect(stateOf(1)).toBe(before);
    cluster.elect(2);
    const following = stateOf(1);
    expect(() => cluster.propose(1, 'a')).toThrow(
      expect.objectContaining({ code: 'NOT_LEADER', details: { leaderHint: 2 } }),
    );
    expect(stateOf(1)).toBe(following);
  });

  it('S2-08: a hundred commands and a change of leader in their middle are applied alike everywhere, each once', () => {
    const cluster = new Cluster([1, 2, 3]);
    cluster.elect(1);
    for (let i = 0; i < 50; i++) cluster.propose(1, `c${i}`);
    cluster.round(3);
    cluster.step(1, { type: 'transferLeadership', target: 2 });
    cluster.settle();
    for (let i = 50; i < 100; i++) cluster.propose(2, `c${i}`);
    cluster.round(6);
    const all = Array.from({ length: 100 }, (_, i) => `c${i}`);
    for (const id of cluster.ids) {
      expect(cluster.commandsOf(id)).toEqual(all);
      // Blank entries have indexes, but are not applied.
      expect(cluster.node(id).lastApplied).toBe(102);
    }
  });

  it('S2-09: a single node commits and applies in the step that proposes', () => {
    const node = new RaftNode({ id: 1, log: new MemoryLog() });
    while (!node.isLeader) node.step({ type: 'tick' });
    const actions = node.step({ type: 'propose', command: bytes('a') });
    expect(actions).toEqual([{ type: 'apply', index: 2, term: 1, command: bytes('a') }]);
  });

  it('S2-10: while leadership is handed over, proposals and changes of members are refused', () => {
    const cluster = new Cluster([1, 2, 3]);
    cluster.elect(1);
    cluster.round(3);
    cluster.cut.add(2);
    cluster.propose(1, 'a');
    cluster.settle();
    cluster.queue = [];
    cluster.step(1, { type: 'transferLeadership', target: 2 });
    expect(codeOf(() => cluster.propose(1, 'b'))).toBe('NOT_LEADER');
    expect(codeOf(() => cluster.step(1, { type: 'addServer', nodeId: 4 }))).toBe('NOT_LEADER');
    cluster.cut.clear();
    cluster.round(6);
    expect(cluster.leader.id).toBe(2);
    cluster.propose(2, 'b');
    cluster.round(6);
    expect(cluster.commandsOf(1)).toEqual(['a', 'b']);
  });
});
