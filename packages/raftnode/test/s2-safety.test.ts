// Seed 002, rows S2-29, S2-30 and S2-32 to S2-35: durability, commits, catching up, restarts, bytes.

import {
  decodeMessage,
  encodeMessage,
  type LogEntry,
  MemoryLog,
  type RaftMessage,
  RaftNode,
} from '@flotilla/raftnode';
import { describe, expect, it } from 'vitest';
import { bytes, Cluster, codeOf, CrashLog, drawer } from './cluster.ts';

function entry(index: number, term: number): LogEntry {
  return { kind: 'command', index, term, command: bytes(`${term}/${index}`) };
}

/** Entries from `first` on, `count` of each of these terms. */
function run(first: number, count: number, terms: readonly number[]): LogEntry[] {
  return terms.flatMap((term, at) =>
    Array.from({ length: count }, (_, i) => entry(first + at * count + i, term)),
  );
}

function logOf(entries: readonly LogEntry[], term = entries.at(-1)?.term ?? 0): MemoryLog {
  const log = new MemoryLog();
  log.append(entries);
  log.saveHardState({ term, votedFor: 0 });
  return log;
}

describe('durability', () => {
  it('S2-29: whatever a crash at any sync interrupts, nobody votes twice and nothing acknowledged is lost', () => {
    let crashes = 0;
    for (let victim = 1; victim <= 3; victim++) {
      for (let failAtSync = 1; failAtSync <= 14; failAtSync++) {
        const cluster = new Cluster([1, 2, 3], { seed: failAtSync });
        for (const id of [1, 2, 3]) cluster.start(id, new CrashLog());
        (cluster.logs.get(victim) as CrashLog).failAtSync = failAtSync;
        const votes = new Map<string, number>();
        const acknowledged: string[] = [];
        let isDown = false;
        const guarded = (act: () => void): void => {
          try {
            act();
          } catch (error) {
            const { code } = error as { code?: string };
            if (code === 'NOT_LEADER') return;
            expect(code).toBe('GROUP_FATAL');
            isDown = true;
          }
        };
        for (let round = 0; round < 90; round++) {
          for (const id of cluster.ids) guarded(() => cluster.tick(id));
          const leader = [...cluster.nodes.values()].find(({ isLeader }) => isLeader);
          if (leader !== undefined && round % 5 === 0)
            guarded(() => cluster.propose(leader.id, `c${round}`));
          while (cluster.queue.length > 0) guarded(() => cluster.settle());
          if (!isDown) continue;
          // Everything that is not durable is gone, and so are the messages of the step that did not end.
          crashes++;
          isDown = false;
          cluster.start(victim, (cluster.logs.get(victim) as CrashLog).reopen());
        }
        for (const { id, action } of cluster.actions) {
          if (action.type === 'apply') acknowledged.push(`${action.index}`);
          if (action.type !== 'send') continue;
          const { message } = action;
          const candidate =
            message.type === 'requestVote' && !message.isPreVote
              ? id
              : message.type === 'voteReply' && !message.isPreVote && message.granted
                ? message.to
                : null;
          if (candidate === null) continue;
          const key = `${id} in term ${message.term}`;
          expect(votes.get(key) ?? candidate, `the vote of ${key}`).toBe(candidate);
          votes.set(key, candidate);
        }
        const last = Math.max(...acknowledged.map(Number));
        expect(last).toBeGreaterThan(5);
        // The cluster checks that every entry is the same wherever it is applied; here, that all of them are.
        for (const id of cluster.ids)
          expect(cluster.node(id).lastApplied).toBeGreaterThanOrEqual(last);
      }
    }
    expect(crashes).toBe(42);
  });

  it('S2-30: a log that fails stops the node: this step throws and each one after it, and nothing is sent', () => {
    const cluster = new Cluster([1, 2, 3]);
    const log = new CrashLog();
    cluster.start(1, log);
    cluster.elect(1);
    cluster.queue = [];
    log.failAppends = true;
    const failing = (): unknown => cluster.propose(1, 'a');
    expect(failing).toThrow(
      expect.objectContaining({ code: 'GROUP_FATAL', details: { reason: 'storage' } }),
    );
    log.failAppends = false;
    expect(failing).toThrow(expect.objectContaining({ code: 'GROUP_FATAL' }));
    expect(codeOf(() => cluster.tick(1))).toBe('GROUP_FATAL');
    expect(cluster.queue).toEqual([]);
  });
});

describe('commits and catching up', () => {
  it('S2-32: an entry of an older term is not committed by counting (Raft figure 8)', () => {
    const isVote = ({ type }: RaftMessage): boolean =>
      type === 'requestVote' || type === 'voteReply';
    const figure = (): Cluster => {
      const cluster = new Cluster([1, 2, 3, 4, 5], { checkQuorum: false, preVote: false });
      const [first, old, other] = [entry(1, 1), entry(2, 2), entry(2, 3)];
      for (const id of [1, 2]) cluster.start(id, logOf([first, old], 3));
      for (const id of [3, 4]) cluster.start(id, logOf([first], 3));
      cluster.start(5, logOf([first, other], 3));
      // (c) Node 1 leads term 4.
      for (let i = 0; i < 40 && !cluster.node(1).isLeader; i++) {
        cluster.tick(1);
        cluster.settle((message) => isVote(message) && message.to !== 5);
        if (!cluster.node(1).isLeader) cluster.queue = [];
      }
      expect(cluster.node(1)).toMatchObject({ isLeader: true, term: 4 });
      return cluster;
    };
    const cluster = figure();
    cluster.cut.add(5);
    // Node 3 gets the old entry, but not the blank one behind it; node 2, which has it, says so.
    cluster.tick(1, 3);
    const streams = new Map<number, number>();
    cluster.settle((message) => {
      if (message.type !== 'appendEntries') return true;
      streams.set(message.to, message.stream);
      return message.to === 3 && message.entries[0]?.index !== cluster.node(3).lastIndex + 1
        ? true
        : message.to === 3 && message.entries[0]?.term === 2;
    });
    const stream = streams.get(2) as number;
    const held = {
      type: 'appendReply',
      from: 2,
      to: 1,
      term: 4,
      success: true,
      index: 2,
      hintTerm: 0,
      stream,
    } as const;
    cluster.step(1, { type: 'message', message: held });
    cluster.queue = [];
    expect([1, 2, 3].map((id) => cluster.node(id).termAt(2))).toEqual([2, 2, 2]);
    expect(cluster.node(1).commitIndex).toBe(0);
    // (d) Node 5, whose last entry is of a later term, replaces it everywhere.
    cluster.cut.clear();
    cluster.cut.add(1);
    cluster.elect(5, [2, 3, 4]);
    cluster.round(6);
    for (const id of [2, 3, 4, 5]) expect(cluster.commandsOf(id)).toEqual(['1/1', '3/2']);
    // (e) Where a majority holds the blank entry too, both are committed, and node 5 cannot win.
    const other = figure();
    other.cut.add(4).add(5);
    other.round(6);
    expect(other.commandsOf(1)).toEqual(['1/1', '2/2']);
    other.cut.clear();
    other.cut.add(1);
    for (let i = 0; i < 60; i++) {
      other.tick(5);
      other.settle();
    }
    expect(other.node(5).isLeader).toBe(false);
  });

  it('S2-33: five terms that differ cost a round trip each, and no message is above the limit', () => {
    const cluster = new Cluster([1, 2, 3], { checkQuorum: false });
    const common = run(1, 10, [1]);
    cluster.start(1, logOf([...common, ...run(11, 100, [3, 5, 7, 9, 11])]), {});
    cluster.start(2, logOf([...common, ...run(11, 100, [2, 4, 6, 8, 10])], 11), {});
    cluster.start(3, logOf([...common, ...run(11, 100, [3, 5, 7, 9, 11])]), {});
    cluster.elect(1);
    cluster.round(12);
    const replies = cluster.actions.flatMap(({ id, action }) =>
      id === 2 && action.type === 'send' && action.message.type === 'appendReply'
        ? [action.message]
        : [],
    );
    expect(replies.filter(({ success }) => !success).length).toBeLessThanOrEqual(6);
    expect(cluster.node(2).lastIndex).toBe(cluster.node(1).lastIndex);
    expect(cluster.node(2).commitIndex).toBe(511);
    const sizes = cluster.actions.flatMap(({ action }) =>
      action.type === 'send' && action.message.type === 'appendEntries'
        ? [action.message.entries.length]
        : [],
    );
    expect(Math.max(...sizes)).toBe(64);
    // Once the logs agree, the rest is streamed: full messages, one after the other, without waiting for answers.
    expect(sizes.filter((size) => size > 0).length).toBeLessThanOrEqual(30);
  });
});

describe('restart', () => {
  it('S2-34: term, vote and log come back; what was committed is what the snapshot covers, and nothing below is applied again', () => {
    const log = new MemoryLog();
    log.append(run(1, 10, [1]));
    log.saveSnapshot({ index: 7, term: 1, members: [1, 2], data: bytes('seven') }, false);
    log.saveHardState({ term: 4, votedFor: 2 });
    const node = new RaftNode({ id: 1, voters: [1, 2, 3], log });
    expect(node).toMatchObject({
      term: 4,
      commitIndex: 7,
      lastApplied: 7,
      firstIndex: 8,
      lastIndex: 10,
    });
    // The snapshot's members count for more than those to begin with,
    expect(node.members).toEqual([1, 2]);
    // and the vote is remembered: nobody else gets one in this term.
    const request = {
      type: 'requestVote',
      from: 3,
      to: 1,
      term: 4,
      isPreVote: false,
      lastLogIndex: 99,
      lastLogTerm: 3,
      force: false,
    } as const;
    const [reply] = node.step({ type: 'message', message: request });
    expect(reply).toMatchObject({ message: { type: 'voteReply', granted: false } });
    // A change of members in the log counts most of all.
    log.append([{ kind: 'members', index: 11, term: 4, members: [1, 2, 5] }]);
    expect(new RaftNode({ id: 1, voters: [1, 2, 3], log }).members).toEqual([1, 2, 5]);
    expect(new RaftNode({ id: 1, voters: [1, 2, 3] }).members).toEqual([1, 2, 3]);
    const single = new MemoryLog();
    single.append(run(1, 10, [1]));
    single.saveSnapshot({ index: 7, term: 1, members: [1], data: bytes('seven') }, false);
    single.saveHardState({ term: 1, votedFor: 1 });
    const alone = new RaftNode({ id: 1, log: single });
    const applied: number[] = [];
    for (let i = 0; i < 25; i++) {
      for (const action of alone.step({ type: 'tick' }))
        if (action.type === 'apply') applied.push(action.index);
    }
    expect(applied).toEqual([8, 9, 10]);
  });
});

describe('bytes', () => {
  const samples: RaftMessage[] = [
    {
      type: 'requestVote',
      from: 1,
      to: 2,
      term: 3,
      isPreVote: true,
      lastLogIndex: 4,
      lastLogTerm: 2,
      force: false,
    },
    {
      type: 'requestVote',
      from: 1,
      to: 2,
      term: 2 ** 53 - 1,
      isPreVote: false,
      lastLogIndex: 0,
      lastLogTerm: 0,
      force: true,
    },
    { type: 'voteReply', from: 1, to: 2, term: 3, isPreVote: false, granted: true },
    {
      type: 'appendEntries',
      from: 4_000_000_000,
      to: 2,
      term: 3,
      prevLogIndex: 8,
      prevLogTerm: 2,
      entries: [
        { kind: 'command', index: 9, term: 3, command: bytes('a command') },
        { kind: 'blank', index: 10, term: 3 },
        { kind: 'members', index: 11, term: 3, members: [1, 2, 9] },
        { kind: 'command', index: 12, term: 3, command: bytes('') },
      ],
      leaderCommit: 7,
      stream: 5,
    },
    {
      type: 'appendEntries',
      from: 1,
      to: 2,
      term: 3,
      prevLogIndex: 8,
      prevLogTerm: 2,
      entries: [],
      leaderCommit: 7,
      stream: 5,
    },
    {
      type: 'appendReply',
      from: 1,
      to: 2,
      term: 3,
      success: false,
      index: 8,
      hintTerm: 2,
      stream: 5,
    },
    { type: 'heartbeat', from: 1, to: 2, term: 3, leaderCommit: 8 },
    { type: 'heartbeatReply', from: 1, to: 2, term: 3 },
    {
      type: 'installSnapshot',
      from: 1,
      to: 2,
      term: 3,
      snapshot: { index: 8, term: 2, members: [1, 2, 3], data: bytes('state') },
      stream: 6,
    },
    { type: 'timeoutNow', from: 1, to: 2, term: 3 },
    { type: 'logReverted', from: 1, to: 2, term: 3, index: 8 },
  ];

  it('S2-35: what was encoded decodes to the same, and messages of an unknown type are dropped', () => {
    for (const sample of samples) expect(decodeMessage(encodeMessage(sample))).toEqual(sample);
    const node = new RaftNode({ id: 2, voters: [1, 2] });
    const message = { type: 'fromTheFuture', from: 1, to: 2, term: 99 } as never;
    expect(node.step({ type: 'message', message })).toEqual([]);
    expect(node.term).toBe(0);
  });

  it('S2-35: damaged frames (200,000, or as many as FLOTILLA_FUZZ_FRAMES says) give a message or PROTOCOL_VIOLATION, never anything else', () => {
    const draw = drawer(35);
    const frames = samples.map((sample) => encodeMessage(sample));
    const count = Number(process.env['FLOTILLA_FUZZ_FRAMES'] ?? 200_000);
    let decoded = 0;
    let refused = 0;
    for (let i = 0; i < count; i++) {
      const frame = (frames[draw(frames.length)] as Uint8Array).slice();
      for (let flips = 1 + draw(3); flips > 0; flips--) frame[draw(frame.length)] = draw(256);
      const cut = draw(4) === 0 ? frame.subarray(0, draw(frame.length + 1)) : frame;
      try {
        const message = decodeMessage(cut);
        decoded++;
        if (i % 100 === 0) expect(encodeMessage(message)).toEqual(cut);
      } catch (error) {
        if ((error as { code?: string }).code !== 'PROTOCOL_VIOLATION') throw error;
        refused++;
      }
    }
    expect(decoded).toBeGreaterThan(count / 20);
    expect(refused).toBeGreaterThan(count / 20);
  });

  it('S2-35: what decodes, however odd, can be stepped without harm', () => {
    const draw = drawer(36);
    const frames = samples.map((sample) => encodeMessage({ ...sample, to: 2 }));
    const node = new RaftNode({ id: 2, voters: [1, 2, 3] });
    let stepped = 0;
    for (let i = 0; i < 50_000; i++) {
      const frame = (frames[draw(frames.length)] as Uint8Array).slice();
      frame[draw(frame.length)] = draw(256);
      try {
        const message = decodeMessage(frame);
        if (message.type === 'logReverted') continue;
        node.step({ type: 'message', message });
        stepped++;
      } catch (error) {
        expect((error as { code?: string }).code).toBe('PROTOCOL_VIOLATION');
      }
    }
    expect(stepped).toBeGreaterThan(5000);
  });

  it('S2-35: a hostile length allocates nothing', () => {
    const append = encodeMessage(samples[3] as RaftMessage);
    const snapshot = encodeMessage(samples[8] as RaftMessage);
    for (const [frame, at] of [
      [append, 52],
      [append, 65],
      [snapshot, 44],
      [snapshot, 60],
    ] as const) {
      const hostile = frame.slice();
      hostile.fill(0xff, at, at + 4);
      const before = process.memoryUsage().arrayBuffers;
      expect(codeOf(() => decodeMessage(hostile))).toBe('PROTOCOL_VIOLATION');
      expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(1 << 20);
    }
  });
});
