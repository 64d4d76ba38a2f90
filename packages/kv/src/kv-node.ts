// One node of the key-value database: a host's replicas of the data groups, kept by the map keeper, behind a RESP server.
// Everything here uses the public API of the host; kv has no access that other users of the library lack.

import { createHash } from 'node:crypto';
import type { Clock } from '@flotilla/io';
import {
  type GroupHost,
  initialShardMap,
  MapKeeper,
  type ShardHost,
  type ShardMap,
  ShardRouter,
  splitAddress,
} from '@flotilla/sharding';
import { CommandTable } from './command-table.ts';
import { adminCommands } from './commands-admin.ts';
import { clusterCommands } from './commands-cluster.ts';
import { connectionCommands } from './commands-connection.ts';
import { readCommands } from './commands-read.ts';
import { writeCommands } from './commands-write.ts';
import { KvCounters } from './counters.ts';
import { ExpirySweeper } from './expiry-sweeper.ts';
import { KvMachine } from './kv-machine.ts';
import { RequestPool } from './request.ts';
import { defaultParserLimits } from './resp-parser.ts';
import { RespWriter } from './resp-writer.ts';
import { Flusher, HeldLanes, KvServer, type ServerLimits } from './server.ts';
import type { KvServices } from './services.ts';
import type { KvGroupStatus, KvHostStatus, ProcessFigures } from './status.ts';

/** What kv needs of a host; `Host` of @flotilla/host has it. */
export interface KvHost extends GroupHost {
  readonly world: { readonly clock: Clock };
  /** Counts and gauges by name, shown to whoever asks for the host's status. */
  metrics?(): Readonly<Record<string, number>>;
}

/** The cluster as its configuration has it, the same on every host. */
export interface KvCluster {
  readonly clusterId: string;
  readonly hosts: readonly KvClusterHost[];
  /** Number of data groups. Only the first start looks at it. */
  readonly groups: number;
}

export interface KvClusterHost {
  readonly id: number;
  /** `host:port` that clients are told: where they reach this host, whatever it listens on. */
  readonly resp: string;
  /** `host:port` of the other hosts' protocol. */
  readonly peer: string;
}

export interface KvOptions {
  /** How long a command may wait for a leader before it is answered with an error. Default 2,000. */
  readonly holdMs?: number;
  /** How long a leadership elsewhere must last before the map follows it. Default 2,000. */
  readonly followAfterMs?: number;
  /** Period of the keeper's looks at the cluster. Default 250. */
  readonly tickMs?: number;
  /** How often expired keys are looked for. Default 1,000. */
  readonly expirySweepMs?: number;
  readonly limits?: Partial<ServerLimits>;
  /** The process that this node runs in, for INFO; default: zeros. */
  readonly processFigures?: () => ProcessFigures;
  /** Something failed that will be tried again; for logs. */
  readonly onProblem?: (error: unknown) => void;
}

export interface KvOpenOptions {
  readonly host: KvHost;
  readonly cluster: KvCluster;
  /** `host:port` to listen on; port 0 draws one. */
  readonly listen: string;
  readonly options?: KvOptions;
}

export const defaultLimits: ServerLimits = {
  clientsMax: 10_000,
  bufferedBytesMax: 1024 * 1024 * 1024,
  unansweredMax: 1_024,
  heldBytesMax: 32 * 1024 * 1024,
  outputMarkBytes: 1024 * 1024,
  outputBytesMax: 64 * 1024 * 1024,
  parser: defaultParserLimits,
};

/** The name that clients know a host by: 40 hexadecimal digits from the cluster's id and the host's. */
export function nodeHexOf(clusterId: string, nodeId: number): string {
  return createHash('sha1').update(`${clusterId}/${nodeId}`).digest('hex');
}

/** All commands of this version. */
export function createCommandTable(): CommandTable {
  return new CommandTable([
    ...connectionCommands,
    ...clusterCommands,
    ...readCommands,
    ...writeCommands,
    ...adminCommands,
  ]);
}

/**
 * Opens a node: its groups, then its server. Resolves when it listens; commands that come before the cluster has a map
 * and leaders wait for them (whenReady tells).
 */
export async function openKv(options: KvOpenOptions): Promise<KvNode> {
  const { host, cluster, listen, options: tuning = {} } = options;
  const machines = new Map<number, KvMachine>();
  const keeper = await MapKeeper.open({
    host,
    clock: host.world.clock,
    initialMap: initialMapOf(cluster),
    stateMachineFor: (groupId) => {
      const machine = new KvMachine();
      machines.set(groupId, machine);
      return machine;
    },
    ...(tuning.onProblem === undefined ? {} : { onProblem: tuning.onProblem }),
    ...(tuning.followAfterMs === undefined ? {} : { followAfterMs: tuning.followAfterMs }),
    ...(tuning.tickMs === undefined ? {} : { tickMs: tuning.tickMs }),
  });
  const node = new KvNode(host, keeper, machines, tuning);
  try {
    await node.listen(listen);
  } catch (error) {
    await node.close();
    throw error;
  }
  return node;
}

function initialMapOf(cluster: KvCluster): ShardMap {
  const hosts: ShardHost[] = cluster.hosts.map(({ id, resp, peer }) => ({
    id,
    resp,
    busPort: splitAddress(peer)?.port ?? 0,
    nodeHex: nodeHexOf(cluster.clusterId, id),
  }));
  return initialShardMap(hosts, cluster.groups);
}

export class KvNode {
  readonly keeper: MapKeeper;
  readonly #host: KvHost;
  readonly #machines: ReadonlyMap<number, KvMachine>;
  readonly #counters: KvCounters = new KvCounters();
  readonly #processFigures: () => ProcessFigures;
  readonly #held: HeldLanes;
  readonly #server: KvServer;
  readonly #sweeper: ExpirySweeper;
  #address = '';
  #closing: Promise<void> | null = null;

  constructor(
    host: KvHost,
    keeper: MapKeeper,
    machines: ReadonlyMap<number, KvMachine>,
    options: KvOptions,
  ) {
    this.#host = host;
    this.keeper = keeper;
    this.#machines = machines;
    this.#processFigures =
      options.processFigures ?? ((): ProcessFigures => ({ pid: 0, rssBytes: 0, heapBytes: 0 }));
    const { clock } = host.world;
    const held = new HeldLanes(clock);
    const flusher = new Flusher(clock);
    const limits: ServerLimits = { ...defaultLimits, ...options.limits };
    const services: KvServices = {
      clock,
      router: new ShardRouter(host, keeper.machine),
      table: createCommandTable(),
      counters: this.#counters,
      requests: new RequestPool(),
      writer: new RespWriter(),
      holdMs: options.holdMs ?? 2_000,
      startedMs: clock.monotonicMs(),
      clientsMax: limits.clientsMax,
      machine: (groupId) => machines.get(groupId),
      machines: () => machines,
      clients: () => this.#server.clients(),
      hostStatus: () => this.hostStatus(),
      processFigures: this.#processFigures,
      groupsStatus: () => this.groupsStatus(),
      scheduleFlush: (session) => flusher.schedule(session),
      hold: (lane) => held.add(lane),
      release: (lane) => held.remove(lane),
    };
    this.#held = held;
    this.#server = new KvServer(services, limits);
    this.#sweeper = new ExpirySweeper(services, options.expirySweepMs ?? 1_000);
  }

  /** The address that clients connect to, as it was bound. */
  get address(): string {
    return this.#address;
  }

  /** Resolves when the map is known here and all of this host's groups stand. */
  whenReady(): Promise<void> {
    return this.keeper.whenSettled();
  }

  /** The server, for connections that do not come through its listening socket. */
  get server(): KvServer {
    return this.#server;
  }

  counters(): Record<string, number> {
    return this.#counters.toJSON();
  }

  hostStatus(): KvHostStatus {
    const { map } = this.keeper.machine;
    const metrics = this.#host.metrics?.() ?? {};
    const { pid, rssBytes } = this.#processFigures();
    return {
      id: this.#host.nodeId,
      pid,
      rssMiB: Math.round(rssBytes / 2 ** 20),
      groups: metrics['groups'] ?? this.#machines.size + 1,
      leaders: metrics['leaders'] ?? 0,
      walBytes: metrics['walBytes'] ?? 0,
      mapVersion: map?.version ?? 0,
      isSettled: this.keeper.isSettled,
      hosts: (map?.hosts ?? []).map(({ id, resp, busPort }) => ({
        id,
        resp,
        peer: resp.replace(/:\d+$/, `:${busPort}`),
      })),
      counters: this.counters(),
      metrics,
    };
  }

  groupsStatus(): KvGroupStatus[] {
    const statuses: KvGroupStatus[] = [];
    const map = this.keeper.machine.map;
    const { mapGroup, machine } = this.keeper;
    statuses.push({ ...mapGroup.status(), keys: 0, stateHash: machine.stateHash() });
    for (const { groupId } of map?.groups ?? []) {
      const status = this.#host.group(groupId)?.status();
      if (status === undefined) continue;
      const data = this.#machines.get(groupId);
      const keys = data?.keyspace.size ?? 0;
      statuses.push({ ...status, keys, stateHash: data?.stateHash() ?? 0 });
    }
    return statuses;
  }

  async listen(address: string): Promise<void> {
    this.#address = await this.#server.listen(address);
  }

  /** Drops all clients and stops. The host and its groups are the caller's to close. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#sweeper.close();
    await this.#server.close();
    this.#held.close();
    this.keeper.close();
  }
}
