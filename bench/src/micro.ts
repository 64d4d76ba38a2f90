// The micro suite: what one core of this machine does a second of the engine's inner steps, by tinybench. No disk, no
// socket; what a figure says is how much room the hot path leaves.
//
// `core` figures are steps of the pure Raft core: a leader of three voters takes a batch of commands, hears that its own
// log is durable, and takes one answer of each follower: four steps that commit one batch. With many groups each round
// visits another group, so that the state of all of them passes through the processor's cache. `three replicas` are the
// steps of a whole group, every message built, carried over and answered on this one processor core.
//
// `bytes of an idle core` is what 100,000 of them take on the heap, configuration and settings shared as a host shares them:
// followers that heard their leader, and leaders whose two followers have everything.

import {
  blockBytesOf,
  blockHeaderBytes,
  blockTableSlotBytes,
  crc32,
  putRecordHead,
  putU32,
  recordHeadBytes,
  recordTypes,
  sealBlockInRecord,
  tableSlot,
} from '@flotilla/codec';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import {
  Configuration,
  type CoreConfig,
  type CoreEvent,
  Effects,
  type LogView,
  Message,
  messageKinds,
  RaftCore,
  type TermEnd,
} from '@flotilla/core';
import { Bench } from 'tinybench';
import { type OptionTable, readOptions } from './options.ts';
import type { BenchResult, SuiteReport } from './suite.ts';

const options = {
  seconds: { kind: 'number', default: 0.5, min: 0.05, max: 60, help: 'measured time of each task' },
} as const satisfies OptionTable;

/** Operations in one call of a task, so that the clock's cost does not count. */
const operationsPerCall = 4096;
const stepsPerCommit = 4;
/** Leader: propose, persisted, two answers; each follower: the append, persisted. */
const stepsPerWholeCommit = 8;
const idleCores = 100_000;

export async function micro(args: readonly string[]): Promise<SuiteReport> {
  const params = readOptions(options, args);
  const bench = new Bench({ time: params.seconds * 1000, warmupTime: 200 });
  const scales = new Map<string, number>();
  const add = (name: string, perCall: number, run: () => void): void => {
    scales.set(name, perCall);
    bench.add(name, run);
  };
  for (const bytes of [32, 128, 1024, 65_536]) {
    const data = new Uint8Array(bytes).fill(3);
    add(`crc32 ${bytes} B`, operationsPerCall, () => {
      for (let i = 0; i < operationsPerCall; i++) crc32(data, 0, bytes);
    });
  }
  for (const bytes of [16, 128]) {
    const write = blockTask(bytes);
    add(`encode + CRC of an entry of ${bytes} B in blocks of 64`, operationsPerCall, () => {
      for (let i = 0; i < operationsPerCall / 64; i++) write();
    });
  }
  const whole = wholeGroupTask();
  add('core steps, three replicas of one group', operationsPerCall * stepsPerWholeCommit, () => {
    for (let i = 0; i < operationsPerCall; i++) whole();
  });
  for (const groups of [1, 48, 4096]) {
    const commit = coreTask(groups);
    add(`core steps, ${groups} groups`, operationsPerCall * stepsPerCommit, () => {
      for (let i = 0; i < operationsPerCall; i++) commit();
    });
  }
  await bench.run();
  const results = bench.tasks.map((task) => resultOf(task, scales));
  for (const role of ['follower', 'leader'] as const) {
    results.push({ name: `bytes of an idle core, ${role}`, unit: 'B', value: idleBytes(role) });
  }
  return { params, results };
}

function resultOf(task: Bench['tasks'][number], scales: ReadonlyMap<string, number>): BenchResult {
  const { result, name } = task;
  if (result.state !== 'completed') throw new Error(`${name} did not complete: ${result.state}`);
  const perCall = scales.get(name) as number;
  // 1000 / latency.mean: the mean of throughputs is biased high.
  const perSecond = (perCall * 1000) / result.latency.mean;
  return {
    name,
    unit: '1/s',
    value: Number(perSecond.toPrecision(6)),
    nanosecondsP50: Number(((result.latency.p50 * 1e6) / perCall).toPrecision(4)),
    samples: result.latency.samplesCount,
  };
}

function blockTask(bytes: number): () => void {
  const count = 64;
  const blockBytes = blockBytesOf(count, count * bytes);
  const record = new Uint8Array(recordHeadBytes + blockBytes + 8);
  const payload = new Uint8Array(bytes).fill(9);
  return () => {
    putRecordHead(record, 0, {
      type: recordTypes.entries,
      flags: 0,
      generationLow: 1,
      recLen: recordHeadBytes + blockBytes,
      groupId: 7,
    });
    let slotAt = recordHeadBytes + blockHeaderBytes;
    let payloadAt = slotAt + blockTableSlotBytes * count;
    for (let i = 0; i < count; i++) {
      putU32(record, slotAt, tableSlot(bytes, 0, 0));
      record.set(payload, payloadAt);
      slotAt += blockTableSlotBytes;
      payloadAt += bytes;
    }
    sealBlockInRecord(record, recordHeadBytes, { firstIndex: 1, term: 1, count, blockBytes });
  };
}

/** Commits one batch in one group, the next one at each call. */
function coreTask(groups: number): () => void {
  const out = new Effects();
  const cores: RaftCore[] = [];
  const streams: number[] = [];
  for (let i = 0; i < groups; i++) cores.push(elect(i, out));
  const answer = new Message();
  const received: CoreEvent = { kind: 'message', message: answer };
  const proposed: CoreEvent = { kind: 'propose', count: 8, bytes: 1024 };
  const persisted = { kind: 'persisted' as const, term: 1, votedFor: 1, index: 0, indexTerm: 1 };
  let next = 0;
  let nowMs = 2000;
  return () => {
    const core = cores[next] as RaftCore;
    next = next + 1 === groups ? 0 : next + 1;
    if (next === 0) nowMs++;
    core.step(proposed, nowMs, out);
    for (let i = 0; i < out.messages.count; i++) streams[i] = out.messages.at(i).stream;
    out.clear();
    persisted.index = core.lastIndex;
    core.step(persisted, nowMs, out);
    out.clear();
    for (let peer = 0; peer < 2; peer++) {
      answer.clear();
      answer.kind = messageKinds.appendAnswer;
      answer.from = peer + 2;
      answer.term = core.term;
      answer.index = core.lastIndex;
      answer.stream = streams[peer] as number;
      answer.granted = true;
      core.step(received, nowMs, out);
      out.clear();
    }
    if (core.commitIndex !== core.lastIndex) throw new Error('a batch was not committed');
  };
}

/** Commits one batch in a group of three replicas, whose messages are carried from one to the other. */
function wholeGroupTask(): () => void {
  const leaderOut = new Effects();
  const followerOut = new Effects();
  const leader = elect(1, leaderOut);
  // They hold the leader's blank entry.
  const followers = [2, 3].map((nodeId) => coreOf(nodeId, nodeId, [{ term: 1, lastIndex: 1 }]));
  const proposed: CoreEvent = { kind: 'propose', count: 8, bytes: 1024 };
  const persisted = { kind: 'persisted' as const, term: 1, votedFor: 0, index: 0, indexTerm: 1 };
  const received = { kind: 'message' as const, message: new Message() };
  const nowMs = 1000;
  const durable = (core: RaftCore, out: Effects): void => {
    persisted.votedFor = core.votedFor;
    persisted.index = core.lastIndex;
    persisted.indexTerm = core.termAt(core.lastIndex);
    core.step(persisted, nowMs, out);
  };
  return () => {
    leader.step(proposed, nowMs, leaderOut);
    for (let i = 0; i < followers.length; i++) {
      const follower = followers[i] as RaftCore;
      received.message = leaderOut.messages.at(i);
      follower.step(received, nowMs, followerOut);
      // What leaves once the follower's log is durable is looked at after that; effects of both steps may gather.
      durable(follower, followerOut);
      answers[i] = followerOut.afterPersist.at(0).index;
      streams[i] = followerOut.afterPersist.at(0).stream;
      granted[i] = followerOut.afterPersist.at(0).granted;
      followerOut.clear();
    }
    leaderOut.clear();
    durable(leader, leaderOut);
    for (let i = 0; i < followers.length; i++) {
      const answer = carried;
      answer.clear();
      answer.kind = messageKinds.appendAnswer;
      answer.from = i + 2;
      answer.to = 1;
      answer.term = leader.term;
      answer.index = answers[i] as number;
      answer.stream = streams[i] as number;
      answer.granted = granted[i] as boolean;
      received.message = answer;
      leader.step(received, nowMs, leaderOut);
      leaderOut.clear();
    }
    if (leader.commitIndex !== leader.lastIndex) throw new Error('a batch was not committed');
  };
}

const carried = new Message();
const answers: number[] = [0, 0];
const streams: number[] = [0, 0];
const granted: boolean[] = [false, false];

/** Heap bytes of one of many idle cores, after a full collection. */
function idleBytes(role: 'follower' | 'leader'): number {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  const out = new Effects();
  const make = (seed: number): RaftCore => {
    if (role === 'leader') return elect(seed, out);
    const core = coreOf(2, seed);
    const message = new Message();
    message.kind = messageKinds.heartbeat;
    message.from = 1;
    message.to = 2;
    message.term = 1;
    core.step({ kind: 'message', message }, 1000, out);
    out.clear();
    return core;
  };
  const cores: RaftCore[] = [make(0)];
  collect();
  const before = process.memoryUsage();
  for (let i = 1; i <= idleCores; i++) cores.push(make(i));
  collect();
  const after = process.memoryUsage();
  if (cores.length !== idleCores + 1) throw new Error('cores were lost');
  const grown = after.heapUsed + after.arrayBuffers - before.heapUsed - before.arrayBuffers;
  return Math.round(grown / idleCores);
}

const threeVoters = Configuration.ofNodes([1, 2, 3]);

const configs: readonly CoreConfig[] = [1, 2, 3].map((nodeId) => ({
  nodeId,
  electionMsMin: 500,
  electionMsMax: 1000,
  heartbeatMs: 100,
  preVote: false,
  checkQuorum: true,
  inflightMessagesMax: 256,
  inflightBytesMax: 16 << 20,
  appendBytesMax: 1 << 20,
}));
const log: LogView = {
  lastIndexWithin: (_first, last) => last,
  bytesBetween: (first, last) => 128 * (last - first + 1),
};
const noTerms: readonly TermEnd[] = [];

function coreOf(nodeId: number, seed: number, termEnds: readonly TermEnd[] = noTerms): RaftCore {
  return new RaftCore(
    configs[nodeId - 1] as CoreConfig,
    {
      term: termEnds.at(-1)?.term ?? 0,
      votedFor: 0,
      commit: 0,
      firstIndex: 1,
      prevTerm: 0,
      termEnds,
      log,
      configuration: threeVoters,
      seed,
    },
    0,
  );
}

/** A leader of three voters whose followers replicate. */
function elect(seed: number, out: Effects): RaftCore {
  const core = coreOf(1, seed);
  const step = (event: CoreEvent): void => {
    core.step(event, 1000, out);
  };
  step({ kind: 'campaign', preVote: false });
  out.clear();
  step({ kind: 'persisted', term: core.term, votedFor: 1, index: 0, indexTerm: 0 });
  out.clear();
  const message = new Message();
  message.kind = messageKinds.voteAnswer;
  message.from = 2;
  message.term = core.term;
  message.granted = true;
  step({ kind: 'message', message });
  const streams = [out.messages.at(0).stream, out.messages.at(1).stream];
  out.clear();
  step({
    kind: 'persisted',
    term: core.term,
    votedFor: 1,
    index: core.lastIndex,
    indexTerm: core.term,
  });
  out.clear();
  for (let peer = 0; peer < 2; peer++) {
    message.clear();
    message.kind = messageKinds.appendAnswer;
    message.from = peer + 2;
    message.term = core.term;
    message.index = core.lastIndex;
    message.stream = streams[peer] as number;
    message.granted = true;
    step({ kind: 'message', message });
    out.clear();
  }
  if (core.role !== 'leader') throw new Error('the core was not elected');
  return core;
}
