// One host: its log, its transport, and the groups that live in it.
//
// open() recovers the log first, so that a damaged or locked directory is refused before a socket is opened, then
// listens. Groups found in the log stand still until createGroup() gives each its state machine again. Everything that
// can fail is said as a FlotillaError; nothing here ends the process.

import { Configuration, RaftCore, votersMax } from '@flotilla/core';
import { createNodeWorld, FlotillaError, type World } from '@flotilla/io';
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
import { decodeGroupConfig, encodeGroupConfig } from './group-config.ts';
import { GroupHandle, GroupView } from './group-handle.ts';
import { type HostOptions, type ResolvedNumbers, resolveNumbers } from './options.ts';
import { memberGeneration, Replica } from './replica.ts';

const noVote: VoteIdentity = { nodeId: 0, generation: 0, instance: 0 };

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
  #closing: Promise<void> | null = null;

  private constructor(parts: {
    readonly options: HostOptions;
    readonly numbers: ResolvedNumbers;
    readonly world: World;
    readonly engine: Engine;
    readonly calls: CallTable;
    readonly wal: Wal;
    readonly transport: Transport;
  }) {
    this.nodeId = parts.options.nodeId;
    this.world = parts.world;
    this.#options = parts.options;
    this.#numbers = parts.numbers;
    this.#engine = parts.engine;
    this.#calls = parts.calls;
    this.#wal = parts.wal;
    this.#transport = parts.transport;
    for (const group of parts.wal.recoveredGroups()) {
      if (!group.isRemoved) this.#recovered.set(group.groupId, group);
    }
  }

  /**
   * Opens the log (recovering it), then the transport. Rejects with CONFIG_INVALID, the WAL_* codes, IDENTITY_MISMATCH
   * or IO_REFUSED; nothing on disk has changed where recovery refuses.
   */
  static async open(options: HostOptions): Promise<Host> {
    const numbers = resolveNumbers(options);
    const world = options.world ?? createNodeWorld();
    const calls = new CallTable(world.clock, numbers.pendingBytesMax, numbers.groupPendingBytesMax);
    const onInfo = options.onInfo ?? ((): void => {});
    const identities = new Map<number, VoteIdentity>([[0, noVote]]);
    const identify = (nodeId: number, instance: number): void => {
      identities.set(nodeId, { nodeId, generation: memberGeneration, instance });
    };
    for (const peer of options.peers) identify(peer.nodeId, peer.instance);
    const engine = new Engine({
      clock: world.clock,
      calls,
      voteIdentity: (nodeId) => identities.get(nodeId) ?? noVote,
      onInfo,
      onPoisoned: (error) => options.onPoisoned?.(error),
      onPeerIdentity: identify,
    });
    const wal = await openLog(options, numbers, world, engine);
    identify(options.nodeId, wal.instance);
    engine.attachWal(wal);
    let transport: Transport;
    try {
      transport = await openNet(options, numbers, world, wal, engine);
    } catch (error) {
      await new Promise<void>((resolve) => wal.close(() => resolve()));
      throw error;
    }
    for (const peer of options.peers) engine.attachPeer(transport.addPeer(peer));
    return new Host({ options, numbers, world, engine, calls, wal, transport });
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
   * Makes this host's replica of a group, or takes it up again where the log has it (its members then come from the log,
   * and other ones are refused with CONFIG_INVALID). Resolves when the replica is durable. Rejects with GROUP_EXISTS
   * where it runs already.
   */
  async createGroup(options: GroupOptions): Promise<RaftGroup> {
    const { groupId, members } = options;
    if (this.#closing !== null) throw new FlotillaError('CLOSED', 'the host is closed');
    if (this.#wal.poisoned !== null) throw this.#wal.poisoned;
    this.#checkGroup(options);
    const recovered = this.#recovered.get(groupId);
    const slot =
      recovered?.slot ??
      this.#wal.openGroup(groupId, memberGeneration, this.nodeId, encodeGroupConfig(members));
    if (recovered !== undefined) {
      const stored = decodeGroupConfig(groupId, recovered.config);
      if (stored.join() !== members.join()) {
        throw new FlotillaError(
          'CONFIG_INVALID',
          `group ${groupId} has the members ${stored.join(', ')} in the log, not ${members.join(', ')}`,
          { groupId, stored, asked: members },
        );
      }
    }
    const view = new GroupView();
    const number = this.#engine.replicaCount;
    const replica = new Replica(
      this.#makeCore(slot, members, recovered),
      { groupId, generation: memberGeneration, number, slot, members },
      options.stateMachine,
      view,
      (recovered?.firstIndex ?? 1) - 1,
    );
    const handle = new GroupHandle(
      { groupId, number, members },
      view,
      this.#engine,
      this.#calls,
      this.#numbers.entryBytesMax,
    );
    this.#recovered.delete(groupId);
    this.#handles.set(groupId, handle);
    this.#engine.addReplica(replica);
    if (recovered === undefined) {
      await new Promise<void>((resolve, reject) =>
        this.#engine.whenDurable((error) => (error === null ? resolve() : reject(error))),
      );
    }
    return handle;
  }

  group(groupId: number): RaftGroup | undefined {
    return this.#handles.get(groupId);
  }

  groups(): Iterable<RaftGroup> {
    return this.#handles.values();
  }

  /** Every metric of metricDeclarations by name. */
  metrics(): Readonly<Record<string, number>> {
    const { counters } = this.#engine;
    let leaders = 0;
    for (const handle of this.#handles.values()) if (handle.isLeader) leaders++;
    const log = this.#wal.counters;
    const net = this.#transport.counters;
    return {
      ...counters,
      groups: this.#handles.size,
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
    this.#engine.stop();
    await new Promise<void>((resolve) => this.#transport.close(() => resolve()));
    await new Promise<void>((resolve, reject) =>
      this.#wal.close((error) => (error === null ? resolve() : reject(error))),
    );
  }

  #checkGroup({ groupId, members }: GroupOptions): void {
    if (!Number.isSafeInteger(groupId) || groupId < 1) {
      throw new RangeError(`groupId must be an integer from 1 to 2^53-1, not ${groupId}`);
    }
    if (this.#handles.has(groupId)) {
      throw new FlotillaError('GROUP_EXISTS', `group ${groupId} runs on this host already`, {
        groupId,
      });
    }
    if (members.length > votersMax) {
      throw new RangeError(`a group has at most ${votersMax} members, not ${members.length}`);
    }
    const known = new Set([this.nodeId, ...this.#options.peers.map((peer) => peer.nodeId)]);
    const unknown = members.filter((nodeId) => !known.has(nodeId));
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

  #makeCore(
    slot: number,
    members: readonly number[],
    recovered: RecoveredGroup | undefined,
  ): RaftCore {
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
        term: recovered?.term ?? 0,
        votedFor: recovered?.vote.nodeId ?? 0,
        commit: recovered?.commit ?? 0,
        firstIndex: recovered?.firstIndex ?? 1,
        prevTerm: recovered?.prevTerm ?? 0,
        termEnds: recovered?.termEnds ?? [],
        log: {
          lastIndexWithin: (first, last, bytesMax) =>
            wal.lastIndexWithin(slot, first, last, bytesMax),
          bytesBetween: (first, last) => wal.bytesBetween(slot, first, last),
        },
        configuration: Configuration.ofNodes(members),
        seed: this.world.rng.u32(),
      },
      this.world.clock.monotonicMs(),
    );
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
        onInfo: options.onInfo ?? ((): void => {}),
      },
      engine,
      (error, wal) => (error === null ? resolve(wal) : reject(error)),
    );
  });
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
