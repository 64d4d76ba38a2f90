// From a slot to who serves it: the local replica's handle where there is one, and the address that clients reach the
// leader under. What a replica believes of its leader is a hint; the leader itself has the last word.

import type { RaftGroup } from '@flotilla/host';
import type { GroupHost } from './group-host.ts';
import type { ShardMap } from './shard-map.ts';
import type { ShardMapMachine } from './shard-map-machine.ts';

export class ShardRouter {
  readonly #host: GroupHost;
  readonly #machine: ShardMapMachine;
  #indexed: ShardMap | null = null;
  #addresses: ReadonlyMap<number, string> = new Map();
  /** Preferred leaders of the groups that have no member here. */
  #elsewhere: ReadonlyMap<number, number> = new Map();

  constructor(host: GroupHost, machine: ShardMapMachine) {
    this.#host = host;
    this.#machine = machine;
  }

  get nodeId(): number {
    return this.#host.nodeId;
  }

  get map(): ShardMap | null {
    return this.#machine.map;
  }

  /** 0 while there is no map. */
  groupIdOfSlot(slot: number): number {
    return this.#machine.groupIdOfSlot(slot);
  }

  /** The local replica of a group, if this host has one by now. */
  group(groupId: number): RaftGroup | undefined {
    return this.#host.group(groupId);
  }

  /**
   * Node id of the group's leader as far as is known here, 0 = unknown. A group without a replica on this host is taken to
   * be led by its preferred leader; one whose replica is still being made, by nobody.
   */
  leaderOf(groupId: number): number {
    const group = this.#host.group(groupId);
    if (group !== undefined) return group.leader;
    return this.#index().elsewhere.get(groupId) ?? 0;
  }

  /** `host:port` for clients of a node, null where the map does not have it. */
  addressOf(nodeId: number): string | null {
    return this.#index().addresses.get(nodeId) ?? null;
  }

  #index(): { addresses: ReadonlyMap<number, string>; elsewhere: ReadonlyMap<number, number> } {
    const map = this.#machine.map;
    if (map !== null && map !== this.#indexed) {
      this.#indexed = map;
      this.#addresses = new Map(map.hosts.map((host) => [host.id, host.resp]));
      const foreign = map.groups.filter(({ members }) => !members.includes(this.#host.nodeId));
      this.#elsewhere = new Map(foreign.map((group) => [group.groupId, group.preferredLeader]));
    }
    return { addresses: this.#addresses, elsewhere: this.#elsewhere };
  }
}
