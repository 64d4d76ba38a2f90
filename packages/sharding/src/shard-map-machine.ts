// The state machine of the map group: holds the shard map and changes it by committed commands only. Every command is
// validated against the map of the moment; one that does not fit changes nothing and is answered with a negative number.
// All replicas see the same commands in the same order, so all refuse the same ones.

import { crc32 } from '@flotilla/codec';
import type { ApplyBatch, StateMachine } from '@flotilla/host';
import { unreachable } from '@flotilla/io';
import { ByteWriter } from './bytes.ts';
import { decodeMapCommand, type MapCommand, putMap } from './map-commands.ts';
import { type ShardMap, validateShardMap } from './shard-map.ts';
import { slotCount } from './slot.ts';

/** Answers to a map command that changed nothing. An accepted one answers the map's new version, at least 1. */
export const mapRefusals = {
  /** Not a command of this version. */
  malformed: -1,
  /** initMap, and there is a map. */
  notEmpty: -2,
  /** The map has another version than expected, or there is none. */
  wrongVersion: -3,
  /** The map that would result is not valid, or the command names what the map does not have. */
  invalid: -4,
} as const;

export type MapListener = (map: ShardMap) => void;

export class ShardMapMachine implements StateMachine {
  #map: ShardMap | null = null;
  readonly #groupOfSlot: Float64Array = new Float64Array(slotCount);
  readonly #listeners: Set<MapListener> = new Set();

  /** The map of the moment, null before the first. */
  get map(): ShardMap | null {
    return this.#map;
  }

  /** The group that serves a slot, 0 while there is no map. */
  groupIdOfSlot(slot: number): number {
    return this.#groupOfSlot[slot] ?? 0;
  }

  /**
   * Calls `listener` after each change, from inside apply: it must not call back into the host. Answers a function that
   * ends it.
   */
  onChange(listener: MapListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  apply(batch: ApplyBatch): void {
    const before = this.#map;
    for (let i = 0; i < batch.count; i++) {
      const command = decodeMapCommand(batch.bytesOf(i), batch.startOf(i), batch.endOf(i));
      batch.respond(i, command === null ? mapRefusals.malformed : this.#applyOne(command));
    }
    const map = this.#map;
    if (map === null || map === before) return;
    for (const range of map.ranges) {
      this.#groupOfSlot.fill(range.groupId, range.start, range.end + 1);
    }
    for (const listener of this.#listeners) listener(map);
  }

  stateHash(): number {
    if (this.#map === null) return 0;
    const writer = new ByteWriter();
    writer.u64(this.#map.version);
    putMap(writer, this.#map);
    const bytes = writer.finish();
    return crc32(bytes, 0, bytes.length);
  }

  #applyOne(command: MapCommand): number {
    const map = this.#map;
    if (command.kind === 'initMap') {
      return map === null ? this.#accept(command.map) : mapRefusals.notEmpty;
    }
    if (map === null || map.version !== command.expectedVersion) return mapRefusals.wrongVersion;
    const version = map.version + 1;
    switch (command.kind) {
      case 'prefer': {
        const moves = new Map(command.moves.map((move) => [move.groupId, move.nodeId]));
        const groups = map.groups.map((group) => {
          const nodeId = moves.get(group.groupId);
          if (nodeId === undefined) return group;
          moves.delete(group.groupId);
          return { ...group, preferredLeader: nodeId };
        });
        if (moves.size > 0) return mapRefusals.invalid;
        return this.#accept({ ...map, version, groups });
      }
      case 'setHosts': {
        const ids = command.hosts.map((host) => host.id).join();
        if (ids !== map.hosts.map((host) => host.id).join()) return mapRefusals.invalid;
        return this.#accept({ ...map, version, hosts: command.hosts });
      }
      default:
        return unreachable(command);
    }
  }

  #accept(map: ShardMap): number {
    if (validateShardMap(map) !== null) return mapRefusals.invalid;
    this.#map = map;
    return map.version;
  }
}
