// One host of a cluster suite, as a process of its own. It carries out what the suite's process tells it, and where it
// leads, it runs the load in this very process, through the public API, as a user of the library would.

import { Host, type HostOptions, type RaftGroup } from '@flotilla/host';
import { CountingMachine } from './counting-machine.ts';
import { Latencies, type Percentiles } from './latencies.ts';

export interface ClusterHostConfig {
  readonly nodeId: number;
  readonly directory: string;
  readonly addresses: readonly string[];
  readonly groups: number;
  readonly sync: NonNullable<HostOptions['syncMethod']>;
  /** Group numbers (1..groups) that this host is to lead. */
  readonly leads: readonly number[];
}

export interface LoadOptions {
  readonly payload: number;
  /** Of this host. */
  readonly inflight: number;
  readonly seconds: number;
  readonly warmup: number;
  readonly mode: 'closed' | 'open';
  /** Open loop: writes offered a second on this host. */
  readonly rate: number;
}

export interface LoadResult {
  readonly writes: number;
  readonly errors: number;
  readonly seconds: number;
  readonly latencies: Percentiles;
  /** Successful writes of the whole run by group number, warm-up included. */
  readonly writesByGroup: readonly [number, number][];
}

export interface GroupState {
  readonly group: number;
  readonly appliedIndex: number;
  readonly count: number;
  readonly hash: number;
}

export interface HostTotals {
  readonly cpuSeconds: number;
  readonly rssMiB: number;
  readonly metrics: Readonly<Record<string, number>>;
}

export type ToHost =
  | { kind: 'open'; config: ClusterHostConfig }
  | { kind: 'lead' }
  | { kind: 'load'; options: LoadOptions }
  | { kind: 'state' }
  | { kind: 'totals' }
  | { kind: 'close' };

const sampleEvery = 16;
/** Groups that campaign at once when the suite starts. */
const campaignsAtOnce = 256;

class ClusterHost {
  readonly #host: Host;
  readonly #config: ClusterHostConfig;
  readonly #machines: CountingMachine[];

  private constructor(host: Host, config: ClusterHostConfig, machines: CountingMachine[]) {
    this.#host = host;
    this.#config = config;
    this.#machines = machines;
  }

  static async open(config: ClusterHostConfig): Promise<ClusterHost> {
    const peers = config.addresses
      .map((address, i) => ({ nodeId: i + 1, address, instance: 0 }))
      .filter((peer) => peer.nodeId !== config.nodeId);
    const host = await Host.open({
      nodeId: config.nodeId,
      directory: config.directory,
      create: true,
      clusterId: new Uint8Array(16).fill(7),
      listen: config.addresses[config.nodeId - 1] as string,
      peers,
      // Leaders are told to campaign; a busy machine must not elect others meanwhile.
      electionMsMin: 5000,
      electionMsMax: 10_000,
      heartbeatMs: 500,
      syncMethod: config.sync,
      onInfo: (line) => console.error(`host ${config.nodeId}: ${line}`),
    });
    const machines: CountingMachine[] = [];
    const members = config.addresses.map((_, i) => i + 1);
    const created: Promise<RaftGroup>[] = [];
    for (let groupId = 1; groupId <= config.groups; groupId++) {
      const stateMachine = new CountingMachine();
      machines.push(stateMachine);
      created.push(host.createGroup({ groupId, members, stateMachine }));
    }
    await Promise.all(created);
    return new ClusterHost(host, config, machines);
  }

  /** Resolves when this host leads all the groups that it is to lead and has committed in each. */
  async lead(): Promise<void> {
    const { leads } = this.#config;
    for (let at = 0; at < leads.length; at += campaignsAtOnce) {
      await Promise.all(leads.slice(at, at + campaignsAtOnce).map((group) => this.#leadOne(group)));
    }
  }

  async #leadOne(groupId: number): Promise<void> {
    const group = this.#group(groupId);
    for (let attempt = 0; ; attempt++) {
      if (!group.isLeader) await group.campaign();
      const deadline = performance.now() + 1000;
      while (!group.isLeader && performance.now() < deadline) await tick();
      if (!group.isLeader) {
        if (attempt === 30) throw new Error(`group ${groupId} could not be led by this host`);
        continue;
      }
      try {
        await group.read({ timeoutMs: 5000 });
        return;
      } catch (error) {
        if (attempt === 30) throw error;
      }
    }
  }

  async load(options: LoadOptions): Promise<LoadResult> {
    const { leads } = this.#config;
    const groups = leads.map((id) => this.#group(id));
    const payload = new Uint8Array(options.payload).fill(5);
    const latencies = new Latencies();
    const written = new Float64Array(groups.length);
    const state = { stopped: false, measuring: false, writes: 0, errors: 0 };
    const write = async (at: number, due: number): Promise<void> => {
      try {
        await (groups[at] as RaftGroup).propose(payload);
        written[at] = (written[at] as number) + 1;
        if (!state.measuring) return;
        state.writes++;
        if (due > 0) latencies.add(performance.now() - due);
      } catch (error) {
        if (state.errors++ === 0) console.error(`first error: ${String(error)}`);
      }
    };
    const clients: Promise<void>[] = [];
    if (options.mode === 'closed') {
      const client = async (at: number): Promise<void> => {
        for (let i = at; !state.stopped; i++) {
          await write(at, i % sampleEvery === 0 || options.inflight <= 64 ? performance.now() : 0);
        }
      };
      for (let i = 0; i < options.inflight; i++) clients.push(client(i % groups.length));
    } else {
      clients.push(openLoop(options, groups.length, state, write));
    }
    await after(options.warmup);
    state.measuring = true;
    const start = performance.now();
    await after(options.seconds);
    const seconds = (performance.now() - start) / 1000;
    const { writes, errors } = state;
    state.measuring = false;
    state.stopped = true;
    await Promise.all(clients);
    return {
      writes,
      errors,
      seconds,
      latencies: latencies.percentiles(),
      writesByGroup: leads.map((group, at) => [group, written[at] as number]),
    };
  }

  state(): GroupState[] {
    return this.#machines.map((machine, at) => ({
      group: at + 1,
      appliedIndex: this.#group(at + 1).status().appliedIndex,
      count: machine.count,
      hash: machine.stateHash(),
    }));
  }

  totals(): HostTotals {
    const { user, system } = process.cpuUsage();
    return {
      cpuSeconds: (user + system) / 1e6,
      rssMiB: process.memoryUsage.rss() / 2 ** 20,
      metrics: this.#host.metrics(),
    };
  }

  close(): Promise<void> {
    return this.#host.close();
  }

  #group(groupId: number): RaftGroup {
    return this.#host.group(groupId) as RaftGroup;
  }
}

/** Offers `rate` writes a second whatever becomes of them; a write's latency counts from when it was due. */
async function openLoop(
  options: LoadOptions,
  groups: number,
  state: { readonly stopped: boolean },
  write: (at: number, due: number) => Promise<void>,
): Promise<void> {
  const start = performance.now();
  const intervalMs = 1000 / options.rate;
  const open = new Set<Promise<void>>();
  for (let sent = 0; !state.stopped; ) {
    for (; start + sent * intervalMs <= performance.now(); sent++) {
      const one = write(sent % groups, start + sent * intervalMs);
      open.add(one);
      void one.then(() => open.delete(one));
    }
    await tick();
  }
  await Promise.all(open);
}

/** Entry point of the process. */
export function runClusterHost(): void {
  let host: ClusterHost | null = null;
  const answer = (value: unknown): void => void process.send?.(value ?? null);
  const handle = async (message: ToHost): Promise<unknown> => {
    if (message.kind === 'open') {
      host = await ClusterHost.open(message.config);
      return null;
    }
    if (host === null) throw new Error('the host is not open');
    switch (message.kind) {
      case 'lead':
        return host.lead();
      case 'load':
        return host.load(message.options);
      case 'state':
        return host.state();
      case 'totals':
        return host.totals();
      case 'close':
        return host.close();
    }
  };
  process.on('message', (message) => {
    handle(message as ToHost).then(answer, (error: unknown) => {
      console.error(error);
      process.exit(1);
    });
  });
  process.on('disconnect', () => process.exit(0));
}

function tick(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 1));
}

function after(seconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, seconds * 1000));
}
