// One host of a fault suite, as a process of its own: it does what the suite's process asks of it, runs the load where it
// leads, and remembers what it applied. The suite kills, stops and slows it from outside.

import { Host, type RaftGroup } from '@flotilla/host';
import { createNodeWorld } from '@flotilla/io';
import { Load } from './load.ts';
import {
  type AppliedBits,
  type FaultAnswer,
  type FaultHostConfig,
  type FaultRequest,
  type FaultRequestName,
  type FaultRequests,
  type FaultTotals,
  type GroupState,
  type LoadEnd,
  machineMs,
  type StartTimes,
} from './messages.ts';
import { SlowDisk } from './slow-disk.ts';
import { AppliedWrites, LedgerMachine } from './write-ledger.ts';

/** Groups that campaign at once when a suite starts. */
const campaignsAtOnce = 4096;
const leadAttemptsMax = 60;
/** The first attempt to lead may take so long; each further one twice as long, up to an election time-out. */
const attemptMsMin = 500;
/** A watcher looks at its groups so often. */
const watchMs = 5;
const rssEveryMs = 20;

type Handlers = {
  readonly [Name in FaultRequestName]: (
    ask: FaultRequests[Name]['ask'],
  ) => Promise<FaultRequests[Name]['answer']> | FaultRequests[Name]['answer'];
};

class FaultHost implements Handlers {
  readonly #world = createNodeWorld();
  readonly #disk: SlowDisk = new SlowDisk(this.#world.disk, this.#world.clock);
  readonly #applied: AppliedWrites = new AppliedWrites();
  readonly #machines: LedgerMachine[] = [];
  #host: Host | null = null;
  #nodeId = 0;
  #attemptMsMax = 1000;
  #load: Load | null = null;
  readonly #servedMs = new Map<number, number>();
  #watched = new Set<number>();
  #watcher: NodeJS.Timeout | null = null;
  #rssPeak = 0;

  constructor() {
    setInterval(() => {
      this.#rssPeak = Math.max(this.#rssPeak, process.memoryUsage.rss());
    }, rssEveryMs).unref();
  }

  readonly open = async (config: FaultHostConfig): Promise<StartTimes> => {
    const boot = performance.now();
    const { nodeId, addresses } = config;
    this.#nodeId = nodeId;
    // A campaign against a living leader only deposes it; a next one wins, as soon as a majority does not defend it any more.
    this.#attemptMsMax = config.electionMsMin + 1.5 * config.heartbeatMs;
    const peers = addresses
      .map((address, i) => ({ nodeId: i + 1, address, instance: 0 }))
      .filter((peer) => peer.nodeId !== nodeId);
    const host = await Host.open({
      nodeId,
      directory: config.directory,
      create: config.create,
      clusterId: new Uint8Array(16).fill(7),
      listen: addresses[nodeId - 1] as string,
      peers,
      electionMsMin: config.electionMsMin,
      electionMsMax: config.electionMsMax,
      heartbeatMs: config.heartbeatMs,
      onInfo: (line) => console.error(`host ${nodeId}: ${line}`),
      onPoisoned: (error) => {
        console.error(error);
        process.exit(75);
      },
      ...(config.pendingBytesMax === null ? {} : { pendingBytesMax: config.pendingBytesMax }),
      world: { ...this.#world, disk: this.#disk },
    });
    this.#host = host;
    const opened = performance.now();
    const members = addresses.map((_, i) => i + 1);
    const created: Promise<RaftGroup>[] = [];
    for (let groupId = 1; groupId <= config.groups; groupId++) {
      const stateMachine = new LedgerMachine(this.#applied);
      this.#machines.push(stateMachine);
      created.push(host.createGroup({ groupId, members, stateMachine }));
    }
    await Promise.all(created);
    return {
      boot,
      open: opened - boot,
      recovery: host.recovery.elapsedMs,
      groups: performance.now() - opened,
    };
  };

  /** Resolves when this host leads all of these groups and has committed in each. */
  readonly lead = async (groups: readonly number[]): Promise<null> => {
    for (let at = 0; at < groups.length; at += campaignsAtOnce) {
      const some = groups.slice(at, at + campaignsAtOnce);
      await Promise.all(some.map((groupId) => this.#leadOne(this.#group(groupId))));
    }
    return null;
  };

  readonly campaign = async (groups: readonly number[]): Promise<null> => {
    await Promise.all(groups.map((groupId) => this.#group(groupId).campaign()));
    return null;
  };

  readonly load = (shape: FaultRequests['load']['ask']): null => {
    const groups = shape.groups.map((groupId) => this.#group(groupId));
    this.#load = new Load(this.#nodeId, groups, shape, this.#load?.numberNext ?? 0);
    return null;
  };

  readonly sample = (): FaultRequests['sample']['answer'] => this.#someLoad().sample();

  readonly endLoad = (waitMs: number): Promise<LoadEnd> => this.#someLoad().end(waitMs);

  readonly watch = (groups: readonly number[]): null => {
    this.#servedMs.clear();
    this.#watched = new Set(groups);
    this.#watcher ??= setInterval(() => this.#look(), watchMs);
    return null;
  };

  readonly served = (): FaultRequests['served']['answer'] => [...this.#servedMs];

  readonly state = (): GroupState[] =>
    this.#machines.map((machine, at) => {
      const { term, leader, appliedIndex } = this.#group(at + 1).status();
      const { count } = machine;
      return { group: at + 1, term, leader, appliedIndex, count, hash: machine.stateHash() };
    });

  readonly applied = (): AppliedBits => ({
    repeated: this.#applied.repeated,
    byNode: [...this.#applied.byNode].map(([nodeId, bits]) => [nodeId, bits.snapshot()] as const),
  });

  readonly totals = (): FaultTotals => {
    const { user, system } = process.cpuUsage();
    const { rss, heapUsed, external } = process.memoryUsage();
    const mib = (bytes: number): number => Math.round((bytes / 2 ** 20) * 10) / 10;
    const totals: FaultTotals = {
      cpuSeconds: (user + system) / 1e6,
      rssMiB: mib(rss),
      rssMiBPeak: mib(Math.max(this.#rssPeak, rss)),
      heapMiB: mib(heapUsed),
      externalMiB: mib(external),
      metrics: this.#someHost().metrics(),
    };
    this.#rssPeak = 0;
    return totals;
  };

  readonly slowSync = (syncMs: number): null => {
    this.#disk.syncMs = syncMs;
    return null;
  };

  readonly close = async (): Promise<null> => {
    if (this.#watcher !== null) clearInterval(this.#watcher);
    await this.#host?.close();
    return null;
  };

  async #leadOne(group: RaftGroup): Promise<void> {
    let attemptMs = attemptMsMin;
    for (let attempt = 1; ; attempt++) {
      if (!group.isLeader) await group.campaign();
      const deadlineMs = performance.now() + attemptMs;
      attemptMs = Math.min(2 * attemptMs, this.#attemptMsMax);
      while (!group.isLeader && performance.now() < deadlineMs) await after(1);
      try {
        if (group.isLeader) return void (await group.read({ timeoutMs: 5000 }));
      } catch (error) {
        if (attempt === leadAttemptsMax) throw error;
      }
      if (attempt === leadAttemptsMax) throw new Error(`group ${group.groupId} was not won`);
    }
  }

  /** Writes to each group that is led here now and was not written to yet. */
  #look(): void {
    for (const groupId of this.#watched) {
      const group = this.#group(groupId);
      if (!group.isLeader) continue;
      this.#watched.delete(groupId);
      const payload = new Uint8Array(8);
      group.propose(payload).then(
        () => this.#servedMs.set(groupId, machineMs()),
        () => this.#watched.add(groupId),
      );
    }
  }

  #group(groupId: number): RaftGroup {
    const group = this.#someHost().group(groupId);
    if (group === undefined) throw new Error(`there is no group ${groupId}`);
    return group;
  }

  #someHost(): Host {
    if (this.#host === null) throw new Error('the host is not open');
    return this.#host;
  }

  #someLoad(): Load {
    if (this.#load === null) throw new Error('there is no load');
    return this.#load;
  }
}

/** Entry point of the process. */
export function runFaultHost(): void {
  const host = new FaultHost();
  process.on('message', (message: unknown) => {
    const { id, name, ask } = message as FaultRequest;
    const answer = (value: unknown, error: string | null): void => {
      process.send?.({ id, answer: value, error } satisfies FaultAnswer);
    };
    const handle = host[name] as (value: unknown) => unknown;
    Promise.resolve()
      .then(() => handle(ask))
      .then(
        (value) => answer(value, null),
        (error: unknown) => answer(null, String((error as Error).stack ?? error)),
      );
  });
  process.on('disconnect', () => process.exit(0));
}

function after(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
