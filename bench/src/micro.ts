// The micro suite: what one core of this machine does a second of the engine's inner steps, by tinybench. No disk, no
// socket; what a figure says is how much room the hot path leaves.
//
// `core` figures are steps of the pure Raft core: a leader of three voters takes a batch of commands, hears that its own
// log is durable, and takes one answer of each follower: four steps that commit one batch. With many groups each round
// visits another group, so that the state of all of them passes through the processor's cache.

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
import {
  Configuration,
  type CoreEvent,
  Effects,
  Message,
  messageKinds,
  RaftCore,
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
  for (const groups of [1, 48, 4096]) {
    const commit = coreTask(groups);
    add(`core steps, ${groups} groups`, operationsPerCall * stepsPerCommit, () => {
      for (let i = 0; i < operationsPerCall; i++) commit();
    });
  }
  await bench.run();
  return { params, results: bench.tasks.map((task) => resultOf(task, scales)) };
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

const threeVoters = Configuration.ofNodes([1, 2, 3]);

/** A leader of three voters whose followers replicate. */
function elect(seed: number, out: Effects): RaftCore {
  const core = new RaftCore(
    {
      nodeId: 1,
      electionMsMin: 500,
      electionMsMax: 1000,
      heartbeatMs: 100,
      preVote: false,
      checkQuorum: true,
      inflightMessagesMax: 256,
      inflightBytesMax: 16 << 20,
      appendBytesMax: 1 << 20,
    },
    {
      term: 0,
      votedFor: 0,
      commit: 0,
      firstIndex: 1,
      prevTerm: 0,
      termEnds: [],
      log: {
        lastIndexWithin: (_first, last) => last,
        bytesBetween: (first, last) => 128 * (last - first + 1),
      },
      configuration: threeVoters,
      seed,
    },
    0,
  );
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
