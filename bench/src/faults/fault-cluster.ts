// The hosts of a fault suite as the suite's process holds them: started, asked, killed, stopped and continued.
//
// A suite ends with settle(): every host has applied the same, each write that was acknowledged is there, each one that
// was refused is not, and none is there twice. A run where that does not hold has no figures.

import { type ChildProcess, fork } from 'node:child_process';
import * as fs from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { freeAddresses, hostFlags } from '../host-process.ts';
import type {
  FaultAnswer,
  FaultHostConfig,
  FaultRequestName,
  FaultRequests,
  GroupState,
  LoadEnd,
} from './messages.ts';
import { checkOutcomes } from './write-ledger.ts';

export interface FaultClusterOptions {
  readonly hosts: number;
  readonly groups: number;
  readonly electionMsMin: number;
  readonly electionMsMax: number;
  readonly heartbeatMs: number;
  /** As of a host, which has a default. */
  readonly pendingBytesMax?: number;
  /** Folder for the data. */
  readonly dir: string;
  /** Folder for CPU profiles of the hosts; '' = none. */
  readonly profile: string;
}

/** Leaders are told to campaign; a machine with more processes than cores must not elect others by itself. */
export const patientElection = {
  electionMsMin: 15_000,
  electionMsMax: 30_000,
  heartbeatMs: 500,
} as const;

export class FaultHostProcess {
  readonly nodeId: number;
  /** performance.now() of this process when it was started. */
  readonly startedMs: number;
  readonly #process: ChildProcess;
  readonly #ended: Promise<void>;
  readonly #waiting = new Map<number, (answer: FaultAnswer) => void>();
  #lastId = 0;
  #isEnded = false;

  constructor(nodeId: number, profile: string) {
    this.nodeId = nodeId;
    const main = fileURLToPath(new URL('../main.js', import.meta.url));
    const execArgv = hostFlags(profile);
    this.startedMs = performance.now();
    this.#process = fork(main, ['fault-host'], { execArgv, serialization: 'advanced' });
    this.#process.on('message', (message: unknown) => {
      const answer = message as FaultAnswer;
      const waiting = this.#waiting.get(answer.id);
      this.#waiting.delete(answer.id);
      waiting?.(answer);
    });
    this.#ended = new Promise((resolve) => {
      this.#process.once('exit', (code, signal) => {
        this.#isEnded = true;
        const error = `host ${nodeId} ended (${String(signal ?? code)})`;
        for (const [id, waiting] of this.#waiting) waiting({ id, answer: null, error });
        this.#waiting.clear();
        resolve();
      });
    });
  }

  ask<Name extends FaultRequestName>(
    name: Name,
    ask: FaultRequests[Name]['ask'],
  ): Promise<FaultRequests[Name]['answer']> {
    return new Promise((resolve, reject) => {
      if (this.#isEnded) return reject(new Error(`host ${this.nodeId} has ended`));
      const id = ++this.#lastId;
      this.#waiting.set(id, ({ answer, error }) => {
        if (error === null) resolve(answer as FaultRequests[Name]['answer']);
        else reject(new Error(`host ${this.nodeId}: ${error}`));
      });
      this.#process.send({ id, name, ask }, (error) => {
        if (error !== null && this.#waiting.delete(id)) reject(error);
      });
    });
  }

  /** SIGSTOP or SIGCONT. */
  signal(signal: 'SIGSTOP' | 'SIGCONT'): void {
    this.#process.kill(signal);
  }

  /** Resident memory as the kernel says it, also of a stopped process. */
  rssMiB(): number {
    const text = fs.readFileSync(`/proc/${this.#process.pid}/status`, 'utf8');
    return Math.round(Number(/VmRSS:\s+(\d+) kB/.exec(text)?.[1] ?? 0) / 102.4) / 10;
  }

  /** kill -9. */
  async kill(): Promise<void> {
    this.#process.kill('SIGKILL');
    await this.#ended;
  }

  /** Disconnects, so that a profile is written, and kills what does not end by itself. */
  async end(): Promise<void> {
    if (this.#isEnded) return;
    this.#process.kill('SIGCONT');
    if (this.#process.connected) this.#process.disconnect();
    const timer = setTimeout(() => this.#process.kill('SIGKILL'), 10_000);
    await this.#ended;
    clearTimeout(timer);
  }
}

export class FaultCluster {
  readonly options: FaultClusterOptions;
  readonly #folder: string;
  readonly #addresses: readonly string[];
  readonly #hosts = new Map<number, FaultHostProcess>();

  private constructor(options: FaultClusterOptions, folder: string, addresses: readonly string[]) {
    this.options = options;
    this.#folder = folder;
    this.#addresses = addresses;
  }

  /** All hosts run, none leads yet. */
  static async start(options: FaultClusterOptions): Promise<FaultCluster> {
    const folder = fs.mkdtempSync(join(options.dir, 'flotilla-faults-'));
    const cluster = new FaultCluster(options, folder, await freeAddresses(options.hosts));
    await Promise.all(cluster.nodeIds.map((nodeId) => cluster.startHost(nodeId, true)));
    return cluster;
  }

  get nodeIds(): number[] {
    return this.#addresses.map((_, i) => i + 1);
  }

  get groupIds(): number[] {
    return Array.from({ length: this.options.groups }, (_, i) => i + 1);
  }

  get hosts(): FaultHostProcess[] {
    return this.nodeIds.map((nodeId) => this.host(nodeId));
  }

  host(nodeId: number): FaultHostProcess {
    const host = this.#hosts.get(nodeId);
    if (host === undefined) throw new Error(`host ${nodeId} was not started`);
    return host;
  }

  async startHost(nodeId: number, create: boolean): Promise<FaultRequests['open']['answer']> {
    const { groups, electionMsMin, electionMsMax, heartbeatMs, profile } = this.options;
    const pendingBytesMax = this.options.pendingBytesMax ?? null;
    const host = new FaultHostProcess(nodeId, profile);
    this.#hosts.set(nodeId, host);
    const config: FaultHostConfig = {
      nodeId,
      directory: join(this.#folder, `host-${nodeId}`),
      addresses: this.#addresses,
      groups,
      electionMsMin,
      electionMsMax,
      heartbeatMs,
      pendingBytesMax,
      create,
    };
    return host.ask('open', config);
  }

  /** Closes and ends all hosts in good order. */
  async stopAll(): Promise<void> {
    await Promise.all(this.hosts.map((host) => host.ask('close', null)));
    await Promise.all(this.hosts.map((host) => host.end()));
  }

  /** Waits until all hosts have applied the same. Answers how long that took. */
  async caughtUp(deadlineMs: number): Promise<number> {
    const startMs = performance.now();
    for (;;) {
      const states = await Promise.all(this.hosts.map((host) => host.ask('state', null)));
      const problem = differenceOf(states);
      if (problem === null) return performance.now() - startMs;
      if (performance.now() - startMs > deadlineMs) throw new Error(problem);
      await after(20);
    }
  }

  /** The hosts agree, and what was answered is what is there. */
  async settle(ends: readonly LoadEnd[], deadlineMs = 60_000): Promise<void> {
    for (const { unsettled, outcomes } of ends) {
      if (unsettled > 0) {
        throw new Error(`${unsettled} promises of host ${outcomes.nodeId} never settled`);
      }
    }
    await this.caughtUp(deadlineMs);
    for (const host of this.hosts) {
      const { repeated, byNode } = await host.ask('applied', null);
      if (repeated > 0) throw new Error(`host ${host.nodeId} applied ${repeated} writes twice`);
      const applied = new Map(byNode);
      for (const { outcomes } of ends) {
        const bits = applied.get(outcomes.nodeId) ?? new Uint32Array(0);
        const { lost, phantoms } = checkOutcomes(outcomes, bits);
        const where = `writes of host ${outcomes.nodeId} on host ${host.nodeId}`;
        if (lost > 0) throw new Error(`${lost} acknowledged ${where} are lost`);
        if (phantoms > 0) throw new Error(`${phantoms} refused ${where} are there`);
      }
    }
  }

  async dispose(): Promise<void> {
    await Promise.all([...this.#hosts.values()].map((host) => host.end()));
    fs.rmSync(this.#folder, { recursive: true, force: true });
  }
}

function differenceOf(states: readonly GroupState[][]): string | null {
  const [first = [], ...others] = states;
  for (const state of first) {
    for (const other of others) {
      const twin = other[state.group - 1];
      if (twin?.appliedIndex !== state.appliedIndex || twin.hash !== state.hash) {
        return `group ${state.group}: the replicas differ at index ${state.appliedIndex} (${twin?.appliedIndex})`;
      }
    }
  }
  return null;
}

export function after(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
