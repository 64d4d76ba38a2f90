// The ceiling: the bare data path of a replicated log, without Raft. One leader and two followers as processes, loopback
// TCP, group commit with fdatasync, a checksum per frame, a promise per write that resolves when two of three processes
// have the write on disk. No terms, no elections, no state: what an engine on this machine can approach and never pass.
//
// The run is valid only if every write that was counted was also walked through by both followers.

import { type ChildProcess, fork } from 'node:child_process';
import * as fs from 'node:fs';
import * as net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { FollowerReady, FollowerTotals } from './ceiling-follower.ts';
import { encodeFrame } from './ceiling-frame.ts';
import { CeilingLog } from './ceiling-log.ts';
import { Latencies } from './latencies.ts';
import { type OptionTable, readOptions } from './options.ts';
import type { SuiteReport } from './suite.ts';

const options = {
  groups: {
    kind: 'number',
    default: 48,
    min: 1,
    max: 100_000,
    help: 'groups that writes are spread over',
  },
  payload: { kind: 'number', default: 16, min: 1, max: 65_536, help: 'bytes of a write' },
  inflight: {
    kind: 'number',
    default: 4096,
    min: 1,
    max: 1_000_000,
    help: 'writes awaited at any time',
  },
  seconds: { kind: 'number', default: 5, min: 0.1, max: 3600, help: 'measured time' },
  warmup: { kind: 'number', default: 1, min: 0, max: 60, help: 'seconds before it' },
  sync: {
    kind: 'choice',
    default: 'fdatasync',
    choices: ['fdatasync', 'none'],
    help: 'what durable means',
  },
  dir: { kind: 'text', default: tmpdir(), help: 'folder for the logs' },
} as const satisfies OptionTable;

/** One write in so many has its latency taken. */
const sampleEvery = 64;
const followerCount = 2;

export async function ceiling(args: readonly string[]): Promise<SuiteReport> {
  const params = readOptions(options, args);
  const folder = fs.mkdtempSync(join(params.dir, 'flotilla-ceiling-'));
  const followers: Follower[] = [];
  try {
    const log = new CeilingLog(join(folder, 'leader.wal'), params.sync === 'fdatasync');
    for (let id = 1; id <= followerCount; id++) {
      const path = join(folder, `follower-${id}.wal`);
      followers.push(await Follower.start(path, params.sync === 'fdatasync'));
    }
    const leader = new Leader(log, followers, params.groups);
    const deaths = followers.map((follower) => follower.death);
    const measured = await Promise.race([drive(leader, log, params), ...deaths]);
    const totals = await Promise.all(followers.map((follower) => follower.totals()));
    for (const { entries } of totals) {
      if (entries === leader.committed) continue;
      throw new Error(`${leader.committed} writes were counted, a follower saw ${entries}`);
    }
    return { params, results: resultsOf(measured, totals) };
  } finally {
    for (const follower of followers) follower.stop();
    fs.rmSync(folder, { recursive: true, force: true });
  }
}

interface Measured {
  readonly writes: number;
  readonly seconds: number;
  readonly frames: number;
  readonly flushes: number;
  readonly leaderCpuSeconds: number;
  /** Over the whole run, warm-up and draining included, as the followers' CPU time is. */
  readonly writesInAll: number;
  readonly leaderCpuSecondsInAll: number;
  readonly latencies: Latencies;
}

/** Keeps `inflight` writes awaited, each by a client of its own; measures after the warm-up; waits for the last answer. */
async function drive(
  leader: Leader,
  log: CeilingLog,
  params: { groups: number; payload: number; inflight: number; seconds: number; warmup: number },
): Promise<Measured> {
  const payload = new Uint8Array(params.payload).fill(5);
  const latencies = new Latencies();
  let stopped = false;
  const client = async (group: number): Promise<void> => {
    for (let i = group; !stopped; i++) {
      const start = i % sampleEvery === 0 ? performance.now() : 0;
      await leader.propose(group, payload);
      if (start !== 0) latencies.add(performance.now() - start);
    }
  };
  const cpuAtBirth = process.cpuUsage();
  const clients: Promise<void>[] = [];
  for (let i = 0; i < params.inflight; i++) clients.push(client(i % params.groups));
  await after(params.warmup);

  latencies.clear();
  const start = performance.now();
  const cpuAtStart = process.cpuUsage();
  const before = { writes: leader.committed, frames: leader.frames, flushes: log.flushes };
  await after(params.seconds);
  const seconds = (performance.now() - start) / 1000;
  const measured = {
    writes: leader.committed - before.writes,
    seconds,
    frames: leader.frames - before.frames,
    flushes: log.flushes - before.flushes,
    leaderCpuSeconds: cpuSecondsSince(cpuAtStart),
    latencies,
  };
  stopped = true;
  await Promise.all(clients);
  await leader.allDurable();
  const leaderCpuSecondsInAll = cpuSecondsSince(cpuAtBirth);
  return { ...measured, writesInAll: leader.committed, leaderCpuSecondsInAll };
}

function resultsOf(
  measured: Measured,
  followers: readonly FollowerTotals[],
): SuiteReport['results'] {
  const { writes, seconds, frames, flushes, leaderCpuSeconds, latencies } = measured;
  let cpuSeconds = measured.leaderCpuSecondsInAll;
  let rssMiB = process.memoryUsage.rss() / 2 ** 20;
  for (const follower of followers) {
    cpuSeconds += follower.cpuMicros / 1e6;
    rssMiB += follower.rssMiB;
  }
  const result = (
    name: string,
    unit: string,
    value: number,
  ): { name: string; unit: string; value: number } => ({
    name,
    unit,
    value: Number(value.toPrecision(6)),
  });
  return [
    { ...result('writes', '1/s', writes / seconds), ...latencies.percentiles() },
    result('writesPerFrame', '1', frames === 0 ? 0 : writes / frames),
    result('fsyncsPerSecond', '1/s', flushes / seconds),
    result('leaderCpu', '%', (100 * leaderCpuSeconds) / seconds),
    result('cpuSecondsPer100k', 's', (cpuSeconds * 1e5) / measured.writesInAll),
    result('rssMiB', 'MiB', rssMiB),
  ];
}

/** The writes of one turn: who waits for them. */
type Waiting = (() => void)[];

class Leader {
  readonly #log: CeilingLog;
  readonly #followers: readonly Follower[];
  readonly #pending: Uint8Array[][];
  #waiting: Waiting = [];
  #scheduled = false;
  /** Resolvers of the frames after the last committed one, in order. */
  readonly #frames = new Map<number, Waiting>();
  #ownSeq = 0;
  #committedSeq = 0;
  /** Writes that two of three processes have on disk. */
  committed = 0;
  /** Frames sent; also the sequence number of the last one. */
  frames = 0;
  #whenAllDurable: (() => void) | null = null;

  constructor(log: CeilingLog, followers: readonly Follower[], groups: number) {
    this.#log = log;
    this.#followers = followers;
    this.#pending = Array.from({ length: groups }, () => []);
    for (const follower of followers) follower.onAnswer = () => this.#advance();
  }

  propose(group: number, payload: Uint8Array): Promise<void> {
    return new Promise((resolve) => {
      (this.#pending[group] as Uint8Array[]).push(payload);
      this.#waiting.push(resolve);
      if (this.#scheduled) return;
      this.#scheduled = true;
      setImmediate(() => this.#turn());
    });
  }

  /** Resolves when all three processes have everything on disk. */
  allDurable(): Promise<void> {
    return new Promise((resolve) => {
      this.#whenAllDurable = resolve;
      this.#advance();
    });
  }

  #turn(): void {
    this.#scheduled = false;
    const seq = ++this.frames;
    const frame = encodeFrame(seq, this.#pending);
    this.#frames.set(seq, this.#waiting);
    this.#waiting = [];
    for (const follower of this.#followers) follower.send(frame);
    this.#log.append(frame, () => {
      this.#ownSeq = seq;
      this.#advance();
    });
  }

  /** A frame is committed when two of three have it: the middle one of the three positions. */
  #advance(): void {
    const [a, b] = this.#followers.map((follower) => follower.durableSeq) as [number, number];
    const lower = Math.min(a, b);
    const higher = Math.max(a, b);
    const quorum = Math.max(lower, Math.min(higher, this.#ownSeq));
    while (this.#committedSeq < quorum) {
      const seq = ++this.#committedSeq;
      const waiting = this.#frames.get(seq) as Waiting;
      this.#frames.delete(seq);
      this.committed += waiting.length;
      for (let i = 0; i < waiting.length; i++) (waiting[i] as () => void)();
    }
    if (Math.min(lower, this.#ownSeq) === this.frames) this.#whenAllDurable?.();
  }
}

class Follower {
  readonly #process: ChildProcess;
  readonly #socket: net.Socket;
  #rest: Uint8Array = new Uint8Array(0);
  /** Last frame that the follower has on disk. */
  durableSeq = 0;
  /** Rejects when the process ends, never resolves. */
  readonly death: Promise<never>;
  onAnswer: () => void = () => {};

  private constructor(child: ChildProcess, socket: net.Socket) {
    this.#process = child;
    this.#socket = socket;
    socket.on('data', (chunk) => this.#receive(chunk));
    // What broke the connection shows in the end of the process.
    socket.on('error', () => {});
    this.death = new Promise((_, reject) => {
      child.once('exit', (code) => reject(new Error(`a follower ended with exit code ${code}`)));
    });
    this.death.catch(() => {});
  }

  static async start(path: string, sync: boolean): Promise<Follower> {
    const main = fileURLToPath(new URL('./main.js', import.meta.url));
    const child = fork(main, ['ceiling-follower', path, sync ? 'sync' : 'nosync']);
    const { port } = await answerOf<FollowerReady>(child);
    const socket = net.connect({ port, host: '127.0.0.1', noDelay: true });
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve);
      socket.once('error', reject);
    });
    return new Follower(child, socket);
  }

  send(frame: Uint8Array): void {
    this.#socket.write(frame);
  }

  totals(): Promise<FollowerTotals> {
    const answer = answerOf<FollowerTotals>(this.#process);
    this.#process.send('totals');
    return answer;
  }

  stop(): void {
    this.#socket.destroy();
    this.#process.kill('SIGKILL');
  }

  #receive(chunk: Uint8Array): void {
    const bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    const whole = bytes.length - (bytes.length % 4);
    this.#rest = bytes.subarray(whole);
    if (whole === 0) return;
    const view = new DataView(bytes.buffer, bytes.byteOffset, whole);
    this.durableSeq = view.getUint32(whole - 4, true);
    this.onAnswer();
  }
}

/** The child's next message; rejects where it dies first. */
function answerOf<T>(child: ChildProcess): Promise<T> {
  return new Promise((resolve, reject) => {
    const onExit = (code: number | null): void =>
      reject(new Error(`a follower ended with exit code ${code}`));
    child.once('exit', onExit);
    child.once('message', (message) => {
      child.off('exit', onExit);
      resolve(message as T);
    });
  });
}

function after(seconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, seconds * 1000));
}

function cpuSecondsSince(start: NodeJS.CpuUsage): number {
  const { user, system } = process.cpuUsage(start);
  return (user + system) / 1e6;
}
