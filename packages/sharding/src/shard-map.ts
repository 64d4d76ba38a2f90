// The shard map: which group serves which hash slots, where the group's replicas are, who should lead it, and how clients
// reach each host. A plain immutable value; the replicated machine that changes it is shard-map-machine.ts.
//
// Invariants of a map that validateShardMap() accepts:
// 1. every slot belongs to exactly one range, and every range to a group of the map;
// 2. hosts and groups are in ascending order of id, without repetition;
// 3. a group's members are hosts of the map, and its preferred leader is one of its members.

import { assert } from '@flotilla/io';
import { slotCount } from './slot.ts';

/** The group that holds the map. Data groups have the ids after it. */
export const mapGroupId = 1;

export interface ShardHost {
  /** Node id. */
  readonly id: number;
  /** `host:port` that clients are told. */
  readonly resp: string;
  /** Port that other hosts use; shown to clients, which do not connect to it. */
  readonly busPort: number;
  /** The host's name in the cluster protocol of clients: 40 lower-case hexadecimal digits. */
  readonly nodeHex: string;
}

export interface ShardGroup {
  readonly groupId: number;
  /** Node ids of the voters. */
  readonly members: readonly number[];
  readonly preferredLeader: number;
}

/** Slots start..end, both included. */
export interface SlotRange {
  readonly start: number;
  readonly end: number;
  readonly groupId: number;
}

export interface ShardMap {
  /** 1 for the first map, one more with each change. */
  readonly version: number;
  /** Gates new kinds of entries while hosts are upgraded one by one. */
  readonly clusterVersion: number;
  readonly hosts: readonly ShardHost[];
  readonly groups: readonly ShardGroup[];
  readonly ranges: readonly SlotRange[];
}

/** The map of a new cluster of `hosts`: slots split evenly over `groupCount` groups, leaders taking turns. */
export function initialShardMap(hosts: readonly ShardHost[], groupCount: number): ShardMap {
  if (!Number.isInteger(groupCount) || groupCount < 1 || groupCount > slotCount) {
    throw new RangeError(`groupCount must be 1..${slotCount}, not ${groupCount}`);
  }
  if (hosts.length === 0) throw new RangeError('hosts must not be empty');
  const ordered = [...hosts].sort((a, b) => a.id - b.id);
  const members = ordered.map((host) => host.id);
  const groups: ShardGroup[] = [];
  const ranges: SlotRange[] = [];
  for (let i = 0; i < groupCount; i++) {
    const groupId = mapGroupId + 1 + i;
    groups.push({ groupId, members, preferredLeader: members[i % members.length] as number });
    const start = Math.floor((i * slotCount) / groupCount);
    ranges.push({ start, end: Math.floor(((i + 1) * slotCount) / groupCount) - 1, groupId });
  }
  const map: ShardMap = { version: 1, clusterVersion: 1, hosts: ordered, groups, ranges };
  const problem = validateShardMap(map);
  if (problem !== null) throw new RangeError(problem);
  return map;
}

/** The first thing that is wrong with a map, or null. */
export function validateShardMap(map: ShardMap): string | null {
  return hostsProblem(map.hosts) ?? groupsProblem(map) ?? rangesProblem(map);
}

function isId(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 1;
}

function hostsProblem(hosts: readonly ShardHost[]): string | null {
  let previous = 0;
  for (const host of hosts) {
    if (!isId(host.id) || host.id <= previous) return `hosts out of order at id ${host.id}`;
    previous = host.id;
    if (splitAddress(host.resp) === null) return `host ${host.id} has no usable address`;
    if (!(host.busPort >= 0 && host.busPort <= 65_535)) return `host ${host.id}: bad bus port`;
    if (!/^[0-9a-f]{40}$/.test(host.nodeHex)) return `host ${host.id}: bad node name`;
  }
  return hosts.length === 0 ? 'no hosts' : null;
}

function groupsProblem(map: ShardMap): string | null {
  const known = new Set(map.hosts.map((host) => host.id));
  let previous = mapGroupId;
  for (const group of map.groups) {
    if (!isId(group.groupId) || group.groupId <= previous) {
      return `groups out of order at id ${group.groupId}`;
    }
    previous = group.groupId;
    const members = new Set(group.members);
    if (members.size === 0 || members.size !== group.members.length) {
      return `group ${group.groupId}: bad members`;
    }
    for (const member of members) {
      if (!known.has(member)) return `group ${group.groupId}: unknown member ${member}`;
    }
    if (!members.has(group.preferredLeader)) {
      return `group ${group.groupId}: preferred leader is no member`;
    }
  }
  return null;
}

function rangesProblem(map: ShardMap): string | null {
  const known = new Set(map.groups.map((group) => group.groupId));
  let next = 0;
  for (const range of map.ranges) {
    if (range.start !== next || range.end < range.start) return `slots: gap or overlap at ${next}`;
    if (!known.has(range.groupId)) return `slots: unknown group ${range.groupId}`;
    next = range.end + 1;
  }
  return next === slotCount ? null : `slots: ${next} of ${slotCount} covered`;
}

export interface HostPort {
  readonly host: string;
  readonly port: number;
}

/** Splits `host:port` at its last colon; null where it is not one. Brackets of an IPv6 address are taken off. */
export function splitAddress(address: string): HostPort | null {
  const colon = address.lastIndexOf(':');
  if (colon < 1 || address.length > 300) return null;
  const portText = address.slice(colon + 1);
  if (!/^[0-9]{1,5}$/.test(portText) || Number(portText) > 65_535) return null;
  const host = address.slice(0, colon).replace(/^\[(.*)\]$/, '$1');
  // Addresses end up in lines of text that clients split at spaces, commas and `@`.
  return /^[0-9A-Za-z.:_-]+$/.test(host) ? { host, port: Number(portText) } : null;
}

/** The slots of each host by preferred leader, adjacent ranges joined: what clients are shown. Ordered by slot. */
export function slotsByHost(map: ShardMap): ReadonlyMap<number, readonly HostSlots[]> {
  const leaders = new Map(map.groups.map((group) => [group.groupId, group.preferredLeader]));
  const result = new Map<number, { start: number; end: number }[]>();
  for (const host of map.hosts) result.set(host.id, []);
  for (const range of map.ranges) {
    const leader = leaders.get(range.groupId);
    assert(leader !== undefined, 'a range names a group of the map');
    const slots = result.get(leader);
    assert(slots !== undefined, 'a preferred leader is a host of the map');
    const last = slots.at(-1);
    if (last !== undefined && last.end + 1 === range.start) last.end = range.end;
    else slots.push({ start: range.start, end: range.end });
  }
  return result;
}

/** Slots start..end, both included. */
export interface HostSlots {
  readonly start: number;
  readonly end: number;
}
