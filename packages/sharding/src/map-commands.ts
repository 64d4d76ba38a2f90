// Byte layout of the commands in the map group's log. Little endian; see the table of each command.
//
//   common head   u8 opcode, u8 zero, u16 zero
//   initMap (1)   u32 clusterVersion,
//                 u32 n, n hosts:   u64 id, u32 busPort, u16 + UTF-8 resp, u16 + UTF-8 nodeHex
//                 u32 n, n groups:  u64 id, u64 preferredLeader, u16 m, m members u64
//                 u32 n, n ranges:  u16 start, u16 end, u64 groupId
//   prefer (2)    u64 expectedVersion, u32 n, n moves: u64 groupId, u64 nodeId
//   setHosts (3)  u64 expectedVersion, u32 n, n hosts as in initMap (same ids as the map has)
//
// A decoder answers null for anything that is not exactly one command; what a command means for the map of the moment is
// the machine's to judge.

import { unreachable } from '@flotilla/io';
import { ByteReader, ByteWriter } from './bytes.ts';
import type { ShardGroup, ShardHost, ShardMap, SlotRange } from './shard-map.ts';

export interface LeaderMove {
  readonly groupId: number;
  readonly nodeId: number;
}

export type MapCommand =
  | { readonly kind: 'initMap'; readonly map: ShardMap }
  | {
      readonly kind: 'prefer';
      readonly expectedVersion: number;
      readonly moves: readonly LeaderMove[];
    }
  | {
      readonly kind: 'setHosts';
      readonly expectedVersion: number;
      readonly hosts: readonly ShardHost[];
    };

const opcodes = { initMap: 1, prefer: 2, setHosts: 3 } as const;

export function encodeMapCommand(command: MapCommand): Uint8Array {
  const writer = new ByteWriter();
  writer.u8(opcodes[command.kind]);
  writer.u8(0);
  writer.u16(0);
  switch (command.kind) {
    case 'initMap':
      putMap(writer, command.map);
      break;
    case 'prefer':
      writer.u64(command.expectedVersion);
      writer.u32(command.moves.length);
      for (const move of command.moves) {
        writer.u64(move.groupId);
        writer.u64(move.nodeId);
      }
      break;
    case 'setHosts':
      writer.u64(command.expectedVersion);
      putHosts(writer, command.hosts);
      break;
    default:
      unreachable(command);
  }
  return writer.finish();
}

/** The command in `bytes[start, end)`, or null where there is none. */
export function decodeMapCommand(bytes: Uint8Array, start: number, end: number): MapCommand | null {
  const reader = new ByteReader(bytes, start, end);
  const opcode = reader.u8();
  if (reader.u8() !== 0 || reader.u16() !== 0) return null;
  const command = bodyOf(opcode, reader);
  return reader.isComplete ? command : null;
}

function bodyOf(opcode: number, reader: ByteReader): MapCommand | null {
  if (opcode === opcodes.initMap) return { kind: 'initMap', map: takeMap(reader) };
  if (opcode === opcodes.prefer) {
    const expectedVersion = reader.u64();
    const moves: LeaderMove[] = [];
    for (let left = reader.count(16); left > 0; left--) {
      moves.push({ groupId: reader.u64(), nodeId: reader.u64() });
    }
    return { kind: 'prefer', expectedVersion, moves };
  }
  if (opcode === opcodes.setHosts) {
    return { kind: 'setHosts', expectedVersion: reader.u64(), hosts: takeHosts(reader) };
  }
  return null;
}

/** The map as bytes (the body of initMap): equal maps give equal bytes, whatever their version. */
export function putMap(writer: ByteWriter, map: ShardMap): void {
  writer.u32(map.clusterVersion);
  putHosts(writer, map.hosts);
  writer.u32(map.groups.length);
  for (const group of map.groups) {
    writer.u64(group.groupId);
    writer.u64(group.preferredLeader);
    writer.u16(group.members.length);
    for (const member of group.members) writer.u64(member);
  }
  writer.u32(map.ranges.length);
  for (const range of map.ranges) {
    writer.u16(range.start);
    writer.u16(range.end);
    writer.u64(range.groupId);
  }
}

function putHosts(writer: ByteWriter, hosts: readonly ShardHost[]): void {
  writer.u32(hosts.length);
  for (const host of hosts) {
    writer.u64(host.id);
    writer.u32(host.busPort);
    writer.text(host.resp);
    writer.text(host.nodeHex);
  }
}

function takeMap(reader: ByteReader): ShardMap {
  const clusterVersion = reader.u32();
  const hosts = takeHosts(reader);
  const groups: ShardGroup[] = [];
  for (let left = reader.count(18); left > 0 && !reader.failed; left--) {
    const groupId = reader.u64();
    const preferredLeader = reader.u64();
    const members: number[] = [];
    for (let m = reader.u16(); m > 0 && !reader.failed; m--) members.push(reader.u64());
    groups.push({ groupId, members, preferredLeader });
  }
  const ranges: SlotRange[] = [];
  for (let left = reader.count(12); left > 0; left--) {
    ranges.push({ start: reader.u16(), end: reader.u16(), groupId: reader.u64() });
  }
  return { version: 1, clusterVersion, hosts, groups, ranges };
}

function takeHosts(reader: ByteReader): ShardHost[] {
  const hosts: ShardHost[] = [];
  for (let left = reader.count(16); left > 0 && !reader.failed; left--) {
    const id = reader.u64();
    const busPort = reader.u32();
    hosts.push({ id, busPort, resp: reader.text(), nodeHex: reader.text() });
  }
  return hosts;
}
