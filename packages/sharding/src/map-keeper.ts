// Keeps a host's part of the sharded database in step with the shard map, and, on the map group's leader, the map in step
// with the cluster.
//
// On every host: opens the map group; creates or re-opens each data group that the map gives to this host; campaigns early
// in the groups that prefer this host and know no leader, so that after a start leaders spread as the map says.
// On the leader of the map group: proposes the first map when there is none; commits a leadership that has lasted
// `followAfterMs` elsewhere than preferred; brings changed addresses of the configuration into the map.
//
// All of it is idempotent and driven by one timer: whatever fails is tried again at the next tick. Commands carry the
// version they were made for, so that two leaders in a row cannot undo each other's work.

import type { RaftGroup, StateMachine } from '@flotilla/host';
import { type Clock, FlotillaError, type Timer } from '@flotilla/io';
import type { GroupHost } from './group-host.ts';
import { encodeMapCommand, type LeaderMove, type MapCommand } from './map-commands.ts';
import { mapGroupId, type ShardGroup, type ShardMap } from './shard-map.ts';
import { ShardMapMachine } from './shard-map-machine.ts';

export interface MapKeeperOptions {
  readonly host: GroupHost;
  readonly clock: Clock;
  /** The map to start a new cluster with (initialShardMap of the configuration, the same on every host). */
  readonly initialMap: ShardMap;
  /** A new, empty state machine for a data group. */
  readonly stateMachineFor: (groupId: number) => StateMachine;
  /** A data group stands on this host. */
  readonly onGroup?: (group: RaftGroup) => void;
  /** Something failed that will be tried again; for logs. */
  readonly onProblem?: (error: unknown) => void;
  /** How long a leadership elsewhere must last before the map follows it. Default 2,000. */
  readonly followAfterMs?: number;
  /** Default 250. */
  readonly tickMs?: number;
}

/** A leader other than the preferred one, and since when. */
interface Drift {
  readonly nodeId: number;
  readonly sinceMs: number;
}

/** Groups whose creation is under way at once; the log batches them anyway. */
const creationsMax = 256;
/** Early campaigns per group after it was opened; after that the group's own election timers do it. */
const campaignsMax = 12;

export class MapKeeper {
  readonly machine: ShardMapMachine;
  readonly #options: MapKeeperOptions;
  readonly #mapGroup: RaftGroup;
  readonly #creating: Set<number> = new Set();
  readonly #campaigns: Map<number, number> = new Map();
  readonly #drifts: Map<number, Drift> = new Map();
  readonly #whenSettled: (() => void)[] = [];
  #timer: Timer | null = null;
  #isProposing = false;
  #isSettled = false;
  #closed = false;

  private constructor(options: MapKeeperOptions, machine: ShardMapMachine, mapGroup: RaftGroup) {
    this.#options = options;
    this.machine = machine;
    this.#mapGroup = mapGroup;
    machine.onChange(() => {
      this.#isSettled = false;
      // From inside apply the host must not be called.
      options.clock.nextTurn(() => this.#createGroups());
    });
    if (options.initialMap.hosts[0]?.id === options.host.nodeId) this.#campaigns.set(mapGroupId, 0);
    options.clock.nextTurn(() => this.#tick());
  }

  /** Opens the map group; data groups follow as the map becomes known (whenSettled tells). */
  static async open(options: MapKeeperOptions): Promise<MapKeeper> {
    const machine = new ShardMapMachine();
    const members = options.initialMap.hosts.map((host) => host.id);
    if (!members.includes(options.host.nodeId)) {
      throw new FlotillaError('CONFIG_INVALID', 'this host is not one of the cluster', {
        problems: [`no host with id ${options.host.nodeId}`],
      });
    }
    const mapGroup = await options.host.createGroup({
      groupId: mapGroupId,
      members,
      stateMachine: machine,
    });
    return new MapKeeper(options, machine, mapGroup);
  }

  get mapGroup(): RaftGroup {
    return this.#mapGroup;
  }

  /** The map is known and all of this host's groups stand. */
  get isSettled(): boolean {
    return this.#isSettled;
  }

  /** Resolves once isSettled, or rejects with CLOSED. */
  whenSettled(): Promise<void> {
    if (this.#isSettled) return Promise.resolve();
    return new Promise((resolve, reject) => {
      this.#whenSettled.push(() => {
        if (this.#isSettled) resolve();
        else reject(new FlotillaError('CLOSED', 'the keeper was closed'));
      });
    });
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#timer?.cancel();
    this.#releaseWaiters();
  }

  #tick(): void {
    if (this.#closed) return;
    const { clock, tickMs = 250 } = this.#options;
    this.#timer = clock.at(clock.monotonicMs() + tickMs, () => this.#tick());
    this.#createGroups();
    this.#campaignWhereLeaderless();
    if (this.#mapGroup.isLeader) this.#lead();
    else this.#drifts.clear();
  }

  #createGroups(): void {
    const map = this.machine.map;
    if (this.#closed || this.#isSettled || map === null) return;
    const { host } = this.#options;
    let missing = 0;
    for (const group of map.groups) {
      if (!group.members.includes(host.nodeId)) continue;
      if (host.group(group.groupId) !== undefined && !this.#creating.has(group.groupId)) continue;
      missing++;
      if (this.#creating.has(group.groupId) || this.#creating.size >= creationsMax) continue;
      void this.#createGroup(group);
    }
    if (missing > 0) return;
    this.#isSettled = true;
    this.#releaseWaiters();
  }

  async #createGroup(group: ShardGroup): Promise<void> {
    const { host, stateMachineFor, onGroup } = this.#options;
    this.#creating.add(group.groupId);
    try {
      const stateMachine = stateMachineFor(group.groupId);
      const created = await host.createGroup({
        groupId: group.groupId,
        members: group.members,
        stateMachine,
      });
      onGroup?.(created);
      if (group.preferredLeader === host.nodeId) this.#campaign(group.groupId, 0);
    } catch (error) {
      // It waits for the next tick, lest a lasting failure makes a busy loop.
      this.#creating.delete(group.groupId);
      this.#report(error);
      return;
    }
    this.#creating.delete(group.groupId);
    if (this.#creating.size === 0) this.#options.clock.nextTurn(() => this.#createGroups());
  }

  #releaseWaiters(): void {
    for (const waiter of this.#whenSettled.splice(0)) waiter();
  }

  #campaignWhereLeaderless(): void {
    for (const [groupId, attempts] of this.#campaigns) this.#campaign(groupId, attempts);
  }

  #campaign(groupId: number, attempts: number): void {
    const group = this.#options.host.group(groupId);
    if (group === undefined || group.leader !== 0 || attempts >= campaignsMax) {
      this.#campaigns.delete(groupId);
      return;
    }
    this.#campaigns.set(groupId, attempts + 1);
    // A campaign is an offer: where it is refused, the election timers decide.
    group.campaign({ preVote: true }).catch(() => undefined);
  }

  #lead(): void {
    const map = this.machine.map;
    if (this.#isProposing) return;
    if (map === null) {
      this.#propose({ kind: 'initMap', map: this.#options.initialMap });
      return;
    }
    const { hosts } = this.#options.initialMap;
    if (sameIds(hosts, map.hosts) && !sameAddresses(hosts, map.hosts)) {
      this.#propose({ kind: 'setHosts', expectedVersion: map.version, hosts });
      return;
    }
    const moves = this.#lastingDrifts(map);
    if (moves.length > 0) this.#propose({ kind: 'prefer', expectedVersion: map.version, moves });
  }

  /** Leaderships that have stood elsewhere than preferred for long enough. */
  #lastingDrifts(map: ShardMap): LeaderMove[] {
    const { host, clock, followAfterMs = 2_000 } = this.#options;
    const nowMs = clock.monotonicMs();
    const moves: LeaderMove[] = [];
    for (const { groupId, members, preferredLeader } of map.groups) {
      const leader = host.group(groupId)?.leader ?? 0;
      if (leader === 0 || leader === preferredLeader || !members.includes(leader)) {
        this.#drifts.delete(groupId);
        continue;
      }
      const drift = this.#drifts.get(groupId);
      if (drift?.nodeId !== leader) this.#drifts.set(groupId, { nodeId: leader, sinceMs: nowMs });
      else if (nowMs - drift.sinceMs >= followAfterMs) moves.push({ groupId, nodeId: leader });
    }
    return moves;
  }

  #propose(command: MapCommand): void {
    this.#isProposing = true;
    this.#mapGroup
      .propose(encodeMapCommand(command))
      .catch((error: unknown) => this.#report(error))
      .finally(() => {
        this.#isProposing = false;
      });
  }

  #report(error: unknown): void {
    if (!this.#closed) this.#options.onProblem?.(error);
  }
}

function sameIds(a: ShardMap['hosts'], b: ShardMap['hosts']): boolean {
  return a.length === b.length && a.every((host, i) => host.id === b[i]?.id);
}

function sameAddresses(a: ShardMap['hosts'], b: ShardMap['hosts']): boolean {
  return a.every((host, i) => {
    const other = b[i];
    return (
      host.resp === other?.resp && host.busPort === other.busPort && host.nodeHex === other.nodeHex
    );
  });
}
