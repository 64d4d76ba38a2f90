// One host: its log, its transport, and the groups that live in it.
//
// open() recovers the log first, so that a damaged or locked directory is refused before a socket is opened, then
// listens. Groups found in the log stand still until createGroup() gives each its state machine again. Everything that
// can fail is said as a FlotillaError; nothing here ends the process.

import {
  Configuration,
  type ConfigurationAt,
  emptyConfiguration,
  RaftCore,
  votersMax,
} from '@flotilla/core';
import { createNodeWorld, FlotillaError, type NodeWorld, type World } from '@flotilla/io';
import { openTransport, type Transport } from '@flotilla/transport';
import {
  openWal,
  type RecoveredGroup,
  type RecoveryReport,
  type VoteIdentity,
  type Wal,
} from '@flotilla/wal';
import type { GroupOptions, RaftGroup } from './api.ts';
import { CallTable } from './calls.ts';
import { Engine } from './engine.ts';
import { encodeConfiguration } from './configuration-codec.ts';
import { decodeGroupConfig } from './group-config.ts';
import { GroupHandle, GroupView } from './group-handle.ts';
import { membershipOf } from './membership.ts';
import {
  type HostOptions,
  type PeerAddress,
  peerProblems,
  type ResolvedNumbers,
  resolveNumbers,
} from './options.ts';
import { readConfigurations } from './recovered-configurations.ts';
import { neverReady, Replica } from './replica.ts';

/** Tokens of one life of a host begin so far above those of the life before. */
const tokensOfLife = 2 ** 40;
const livesOfTokens = 2 ** 13;

/** What is left of a replica that was removed; the next one of the group here begins with it. */
interface Tombstone {
  readonly generation: number;
  readonly term: number;
  readonly votedFor: number;
  readonly votedGeneration: number;
}

/** What a replica begins with. */
interface Beginning {
  readonly slot: number;
  readonly generation: number;
  readonly term: number;
  readonly votedFor: number;
  readonly votedGeneration: number;
  readonly configuration: Configuration;
  readonly configurations: readonly ConfigurationAt[];
  readonly recovered: RecoveredGroup | undefined;
}

export class Host {
  readonly nodeId: number;
  readonly world: World;
  readonly #options: HostOptions;
  readonly #numbers: ResolvedNumbers;
  readonly #engine: Engine;
  readonly #calls: CallTable;
  readonly #wal: Wal;
  readonly #transport: Transport;
  readonly #recovered = new Map<number, RecoveredGroup>();
  readonly #handles = new Map<number, GroupHandle>();
  /** Made by open(), ended with the host. */
  #ownWorld: NodeWorld | null = null;
  readonly #tombstones: Map<number, Tombstone>;
  /** Groups whose replica is being made. */
  readonly #making = new Set<number>();
  /** Of hosts, this one among them. */
  readonly #instances: Map<number, number>;
  #closing: Promise<void> | null = null;

  private constructor(parts: {
    readonly options: HostOptions;
    readonly numbers: ResolvedNumbers;
    readonly world: World;
    readonly engine: Engine;
    readonly calls: CallTable;
    readonly wal: Wal;
    readonly transport: Transport;
    readonly instances: Map<number, number>;
    readonly tombstones: Map<number, Tombstone>;
  }) {
    this.nodeId = parts.options.nodeId;
    this.world = parts.world;
    this.#options = parts.options;
    this.#numbers = parts.numbers;
    this.#engine = parts.engine;
    this.#calls = parts.calls;
    this.#wal = parts.wal;
    this.#transport = parts.transport;
    this.#instances = parts.instances;
    this.#tombstones = parts.tombstones;
    for (const group of parts.wal.recoveredGroups()) {
      const { groupId, generation, term } = group;
      if (!group.isRemoved) this.#recovered.set(groupId, group);
      else this.#tombstones.set(groupId, { generation, term, ...votedOf(group.vote) });
    }
  }

  /**
   * Opens the log (recovering it), then the transport. Rejects with CONFIG_INVALID, the WAL_* codes, IDENTITY_MISMATCH
   * or IO_REFUSED; nothing on disk has changed where recovery refuses.
   */
  static async open(options: HostOptions): Promise<Host> {
    const numbers = resolveNumbers(options);
    if (options.world !== undefined) return Host.#openIn(options.world, options, numbers);
    const world = createNodeWorld({ ioThread: options.ioThread });
    try {
      const host = await Host.#openIn(world, options, numbers);
      host.#ownWorld = world;
      return host;
    } catch (error) {
      world.end();
      throw error;
    }
  }

  static async #openIn(
    world: World,
    options: HostOptions,
    numbers: ResolvedNumbers,
  ): Promise<Host> {
    const calls = new CallTable(world.clock, numbers.pendingBytesMax, numbers.groupPendingBytesMax);
    const onInfo = options.onInfo ?? ((): void => {});
    const instances = new Map(options.peers.map(({ nodeId, instance }) => [nodeId, instance]));
    const tombstones = new Map<number, Tombstone>();
    const engine = new Engine({
      nodeId: options.nodeId,
      clock: world.clock,
      calls,
      windowLimits: numbers,
      instanceOf: (nodeId) => instances.get(nodeId) ?? 0,
      onRemoved: ({ core, generation, groupId }) => {
        const { term, votedFor, votedGeneration } = core;
        tombstones.set(groupId, { generation, term, votedFor, votedGeneration });
      },
      onMembershipChanged: (replica) => tellMembership(options, replica, onInfo),
      onInfo,
      onPoisoned: (error) => options.onPoisoned?.(error),
      onPeerIdentity: (nodeId, instance) => instances.set(nodeId, instance),
    });
    const wal = await openLog(options, numbers, world, engine);
    instances.set(options.nodeId, wal.instance);
    engine.attachWal(wal);
    let transport: Transport;
    try {
      transport = await openNet(options, numbers, world, wal, engine);
    } catch (error) {
      await new Promise<void>((resolve) => wal.close(() => resolve()));
      throw error;
    }
    for (const peer of options.peers) engine.attachPeer(transport.addPeer(peer));
    const parts = { options, numbers, world, engine, calls, wal, transport };
    return new Host({ ...parts, instances, tombstones });
  }

  /** What recovery found. */
  get recovery(): RecoveryReport {
    return this.#wal.report;
  }

  /** Identity of the data directory as a member. */
  get instance(): number {
    return this.#wal.instance;
  }

  /** Number of openings of the data directory. */
  get epoch(): number {
    return this.#wal.epoch;
  }

  /** The address that peers reach this host at, with the port that was bound. */
  get address(): string {
    return this.#transport.address;
  }

  /** Groups of the log that createGroup() has not been called for yet. */
  recoveredGroupIds(): readonly number[] {
    return [...this.#recovered.keys()];
  }

  /**
   * Makes a host known that was not among the peers when this one was opened, or gives a known one another address. It
   * neither connects nor fails. Say it on every host whose groups the new one is to join, and on the new one. Throws
   * RangeError where no host can have such an id, address or instance.
   */
  addPeer(peer: PeerAddress): void {
    if (this.#closing !== null) throw new FlotillaError('CLOSED', 'the host is closed');
    const { nodeId } = peer;
    const problems = peerProblems(peer);
    if (problems.length > 0) throw new RangeError(problems.join('; '));
    const isKnown = this.#transport.peer(nodeId) !== undefined;
    const added = this.#transport.addPeer(peer);
    if (peer.instance !== 0 || !isKnown) this.#instances.set(nodeId, peer.instance);
    if (!isKnown) this.#engine.attachPeer(added);
  }

  /**
   * Makes this host's replica of a group, or takes it up again where the log has it (its members then come from the log,
   * and other ones than it began with are refused with CONFIG_INVALID). With `join` it waits to be added to a group that
   * exists. Resolves when the replica is durable. Rejects with GROUP_EXISTS where it runs already, REPLICA_REMOVED where
   * it was removed and `join` is not asked for, WAL_ENTRY_CORRUPT or WAL_READ_FAILED where its log cannot be read.
   */
  async createGroup(options: GroupOptions): Promise<RaftGroup> {
    const { groupId } = options;
    if (this.#closing !== null) throw new FlotillaError('CLOSED', 'the host is closed');
    if (this.#wal.poisoned !== null) throw this.#wal.poisoned;
    this.#checkGroup(options);
    const recovered = this.#recovered.get(groupId);
    if (recovered === undefined) {
      const handle = this.#start(options, this.#begin(options));
      const replica = this.#engine.replica(groupId);
      await this.#durable();
      if (replica !== undefined) replica.isDurable = true;
      return handle;
    }
    this.#making.add(groupId);
    try {
      const beginning = await this.#takeUp(options, recovered);
      if (this.#closing !== null) throw new FlotillaError('CLOSED', 'the host is closed');
      if (this.#wal.poisoned !== null) throw this.#wal.poisoned;
      return this.#start(options, beginning);
    } finally {
      this.#making.delete(groupId);
    }
  }

  /** A new replica: of a new group, or one that is to join. */
  #begin({ groupId, join, members = [] }: GroupOptions): Beginning {
    const tombstone = this.#tombstones.get(groupId);
    if (tombstone !== undefined && join !== true) throw replicaRemoved(groupId);
    const generation = (tombstone?.generation ?? 0) + 1;
    const configuration = join === true ? emptyConfiguration : Configuration.ofNodes(members);
    const config = encodeConfiguration(configuration);
    const slot = this.#wal.openGroup(groupId, generation, this.nodeId, config);
    this.#tombstones.delete(groupId);
    const { term = 0, votedFor = 0, votedGeneration = 0 } = tombstone ?? {};
    const configurations: readonly ConfigurationAt[] = [];
    return {
      slot,
      generation,
      term,
      votedFor,
      votedGeneration,
      configuration,
      configurations,
      recovered: undefined,
    };
  }

  async #takeUp({ groupId, members }: GroupOptions, recovered: RecoveredGroup): Promise<Beginning> {
    const configuration = decodeGroupConfig(groupId, recovered.config);
    const stored = configuration.voters.map(({ nodeId }) => nodeId);
    const isOther = [...(members ?? stored)].sort((a, b) => a - b).join() !== stored.join();
    if (isOther && stored.length > 0) {
      throw new FlotillaError(
        'CONFIG_INVALID',
        `group ${groupId} began with the members ${stored.join(', ')} in the log, not ${members?.join(', ')}`,
        { groupId, stored, asked: members },
      );
    }
    const { slot, configurationsAt, generation, term, vote } = recovered;
    const configurations =
      configurationsAt.length === 0
        ? []
        : await readConfigurations(this.#wal, slot, groupId, configurationsAt);
    const voted = votedOf(vote);
    return { slot, generation, term, ...voted, configuration, configurations, recovered };
  }

  #start(options: GroupOptions, beginning: Beginning): GroupHandle {
    const { groupId, stateMachine } = options;
    const { generation, recovered, slot } = beginning;
    const view = new GroupView();
    const number = this.#engine.replicaCount;
    const replica = new Replica(
      this.#makeCore(beginning),
      { groupId, generation, number, slot },
      stateMachine,
      view,
      (recovered?.firstIndex ?? 1) - 1,
      this.#engine.columns,
    );
    const handle = new GroupHandle(
      { groupId, number, generation },
      view,
      this.#engine,
      this.#calls,
      this.#numbers.entryBytesMax,
    );
    replica.isDurable = recovered !== undefined;
    // What it said before is forgotten: it may have been named since.
    if (recovered !== undefined) replica.readyAt = neverReady;
    this.#recovered.delete(groupId);
    this.#engine.addReplica(replica);
    if (replica.core.isRemoved) {
      // It had heard of its removal, and the tombstone was not durable yet.
      this.#engine.removeReplica(replica);
      throw replicaRemoved(groupId);
    }
    this.#handles.set(groupId, handle);
    return handle;
  }

  /**
   * Gives this host's replica of a group up: what is left is a tombstone, durable when this resolves. For a replica that
   * was removed from the group and has not heard of it, or that failed for good; to the group it is as if the disk under it
   * were lost, so a member is first removed by RaftGroup.changeMembership. Rejects with UNKNOWN_GROUP.
   */
  async removeGroup(groupId: number): Promise<void> {
    if (this.#closing !== null) throw new FlotillaError('CLOSED', 'the host is closed');
    if (this.#wal.poisoned !== null) throw this.#wal.poisoned;
    const replica = this.#engine.replica(groupId);
    const recovered = this.#recovered.get(groupId);
    if (replica !== undefined) {
      this.#engine.removeReplica(replica);
    } else if (recovered !== undefined && !this.#making.has(groupId)) {
      const { generation, slot, term, vote } = recovered;
      this.#recovered.delete(groupId);
      this.#tombstones.set(groupId, { generation, term, ...votedOf(vote) });
      this.#wal.removeGroup(slot);
    } else {
      throw new FlotillaError('UNKNOWN_GROUP', `no replica of group ${groupId} is on this host`, {
        groupId,
      });
    }
    await this.#durable();
  }

  #durable(): Promise<void> {
    return new Promise<void>((resolve, reject) =>
      this.#engine.whenDurable((error) => (error === null ? resolve() : reject(error))),
    );
  }

  /** The replica of the group that lives here, if one does. */
  group(groupId: number): RaftGroup | undefined {
    const handle = this.#handles.get(groupId);
    return handle?.isRemoved === true ? undefined : handle;
  }

  groups(): Iterable<RaftGroup> {
    return [...this.#handles.values()].filter(({ isRemoved }) => !isRemoved);
  }

  /** Every metric of metricDeclarations by name. */
  metrics(): Readonly<Record<string, number>> {
    const { counters } = this.#engine;
    let leaders = 0;
    let groups = 0;
    for (const handle of this.#handles.values()) {
      if (!handle.isRemoved) groups++;
      if (handle.isLeader) leaders++;
    }
    const log = this.#wal.counters;
    const net = this.#transport.counters;
    return {
      ...counters,
      groups,
      leaders,
      proposalBytesPending: this.#calls.pendingBytes,
      catchUpBytes: this.#engine.catchUpBytes,
      walBytes: this.#wal.walBytes,
      walPendingBytes: this.#wal.pendingBytes,
      walBatches: log.batches,
      walSyncs: log.syncs,
      walBatchBytes: log.batchBytes,
      walReads: log.readsFromDisk,
      sockets: this.#transport.sockets,
      framesSent: net.framesSent,
      framesReceived: net.framesReceived,
      bytesSent: net.bytesSent,
      bytesReceived: net.bytesReceived,
      handshakesRejected: net.handshakesRejected,
      protocolViolations: net.protocolViolations,
    };
  }

  /**
   * Ends every call (commands under way: OUTCOME_UNKNOWN), closes the connections, makes everything laid durable and
   * marks the log clean. Idempotent. Rejects with WAL_FULL where the disk is full and not all that was laid could be
   * written: nothing of that was acknowledged, and the next opening recovers.
   */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    try {
      this.#engine.stop();
      await new Promise<void>((resolve) => this.#transport.close(() => resolve()));
      await new Promise<void>((resolve, reject) =>
        this.#wal.close((error) => (error === null ? resolve() : reject(error))),
      );
    } finally {
      this.#ownWorld?.end();
    }
  }

  #checkGroup({ groupId, join, members }: GroupOptions): void {
    if (!Number.isSafeInteger(groupId) || groupId < 1) {
      throw new RangeError(`groupId must be an integer from 1 to 2^53-1, not ${groupId}`);
    }
    if (this.#making.has(groupId) || this.group(groupId) !== undefined) {
      throw new FlotillaError('GROUP_EXISTS', `group ${groupId} runs on this host already`, {
        groupId,
      });
    }
    if (join === true && members !== undefined) {
      throw new RangeError('members and join exclude each other: who joins is told the members');
    }
    if (members === undefined) {
      if (join === true || this.#recovered.has(groupId)) return;
      if (this.#tombstones.has(groupId)) throw replicaRemoved(groupId);
      throw new FlotillaError(
        'CONFIG_INVALID',
        `the log does not have group ${groupId}: a new group needs members, and one that exists is joined`,
        { groupId },
      );
    }
    if (members.length > votersMax) {
      throw new RangeError(`a group has at most ${votersMax} members, not ${members.length}`);
    }
    const unknown = members.filter((nodeId) => !this.#instances.has(nodeId));
    if (
      unknown.length > 0 ||
      !members.includes(this.nodeId) ||
      new Set(members).size !== members.length
    ) {
      throw new FlotillaError(
        'CONFIG_INVALID',
        `members of group ${groupId} must be distinct, include this host (${this.nodeId}) and be hosts of the cluster`,
        { groupId, members, unknown },
      );
    }
  }

  #makeCore(beginning: Beginning): RaftCore {
    const { configuration, configurations, generation, recovered, slot } = beginning;
    const numbers = this.#numbers;
    const wal = this.#wal;
    return new RaftCore(
      {
        nodeId: this.nodeId,
        electionMsMin: numbers.electionMsMin,
        electionMsMax: numbers.electionMsMax,
        heartbeatMs: numbers.heartbeatMs,
        preVote: this.#options.preVote ?? true,
        checkQuorum: this.#options.checkQuorum ?? true,
        inflightMessagesMax: numbers.inflightMessagesMax,
        inflightBytesMax: numbers.inflightBytesMax,
        appendBytesMax: numbers.appendBytesMax,
      },
      {
        term: beginning.term,
        votedFor: beginning.votedFor,
        votedGeneration: beginning.votedGeneration,
        commit: recovered?.commit ?? 0,
        firstIndex: recovered?.firstIndex ?? 1,
        prevTerm: recovered?.prevTerm ?? 0,
        termEnds: recovered?.termEnds ?? [],
        log: {
          lastIndexWithin: (first, last, bytesMax) =>
            wal.lastIndexWithin(slot, first, last, bytesMax),
          bytesBetween: (first, last) => wal.bytesBetween(slot, first, last),
        },
        configuration,
        configurations,
        generation,
        tokenBase: (wal.epoch % livesOfTokens) * tokensOfLife,
        seed: this.world.rng.u32(),
      },
      this.world.clock.monotonicMs(),
    );
  }
}

function replicaRemoved(groupId: number): FlotillaError {
  return new FlotillaError(
    'REPLICA_REMOVED',
    `this host's replica of group ${groupId} was removed; a new one is made with join`,
    { groupId },
  );
}

/** A program's own error must not be taken for one of the replica's. */
function tellMembership(
  { onMembershipChanged }: HostOptions,
  { core, generation, groupId }: Replica,
  onInfo: (line: string) => void,
): void {
  if (onMembershipChanged === undefined) return;
  const { role, term } = core;
  const membership = membershipOf(core);
  try {
    onMembershipChanged({ groupId, generation, term, isLeader: role === 'leader', membership });
  } catch (error) {
    onInfo(`onMembershipChanged of group ${groupId} threw: ${String(error)}`);
  }
}

function openLog(
  options: HostOptions,
  numbers: ResolvedNumbers,
  world: World,
  engine: Engine,
): Promise<Wal> {
  return new Promise((resolve, reject) => {
    openWal(
      world,
      {
        directory: options.directory,
        create: options.create ?? false,
        instance: options.instance ?? 0,
        segmentBytes: numbers.segmentBytes,
        entryBytesMax: numbers.entryBytesMax,
        cacheBytes: numbers.cacheBytes,
        walBytesMax: numbers.walBytesMax,
        syncMethod: options.syncMethod ?? 'fdatasync',
        suspectTail: options.suspectTail ?? 'refuse',
        // Where nobody says, the log knows better: it looks at the processors.
        ...(options.scanWorkers === undefined ? {} : { scanWorkers: numbers.scanWorkers }),
        onInfo: options.onInfo ?? ((): void => {}),
      },
      engine,
      (error, wal) => (error === null ? resolve(wal) : reject(error)),
    );
  });
}

/** Which replica has the vote that the log remembers. */
function votedOf({ nodeId, generation }: VoteIdentity): {
  votedFor: number;
  votedGeneration: number;
} {
  return { votedFor: nodeId, votedGeneration: generation };
}

function openNet(
  options: HostOptions,
  numbers: ResolvedNumbers,
  world: World,
  wal: Wal,
  engine: Engine,
): Promise<Transport> {
  return new Promise((resolve, reject) => {
    openTransport(
      world,
      {
        nodeId: options.nodeId,
        clusterId: options.clusterId,
        storeUuid: wal.storeUuid,
        instance: wal.instance,
        epoch: wal.epoch,
        listen: options.listen,
        entryBytesMax: numbers.entryBytesMax,
        // Room for the largest entry behind another group's share of a live frame.
        frameBytesMax: Math.max(9 << 20, numbers.entryBytesMax + (1 << 20)),
        insecureNetwork: options.insecureNetwork ?? false,
      },
      engine,
      (error, transport) => (error === null ? resolve(transport) : reject(error)),
    );
  });
}
