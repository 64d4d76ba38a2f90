// The CLUSTER command: how clients find out which host serves which slots. Everything is built from the replicated map,
// never from this host's opinion of who leads, so that all hosts give the same answer (but for `myself`).

import { assert } from '@flotilla/io';
import {
  type HostPort,
  type HostSlots,
  keySlot,
  type ShardHost,
  type ShardMap,
  slotCount,
  slotsByHost,
  splitAddress,
} from '@flotilla/sharding';
import type { Arguments, ClientState, CommandSpec } from './command-spec.ts';
import { local, unknownSubcommand } from './commands-connection.ts';
import { smallIntegerAt } from './integer-text.ts';
import type { RespWriter } from './resp-writer.ts';
import type { KvServices } from './services.ts';

const noMapError = 'CLUSTERDOWN the cluster has no shard map yet';

function runCluster(
  args: Arguments,
  out: RespWriter,
  _client: ClientState,
  services: KvServices,
): void {
  const subcommand = args.text(1).toUpperCase();
  if (subcommand === 'KEYSLOT' && args.argc === 3) {
    out.integer(keySlot(args.bytes, args.start(2), args.end(2)));
    return;
  }
  if (subcommand === 'COUNTKEYSINSLOT' && args.argc === 3) {
    countKeysInSlot(args, out, services);
    return;
  }
  if (subcommand === 'INFO' && args.argc === 2) {
    out.verbatim(clusterInfo(services));
    return;
  }
  const { map } = services.router;
  const isKnown = /^(SLOTS|NODES|SHARDS|MYID)$/.test(subcommand) && args.argc === 2;
  if (!isKnown) out.error(unknownSubcommand('CLUSTER', args));
  else if (map === null) out.error(noMapError);
  else if (subcommand === 'SLOTS') putSlots(out, map);
  else if (subcommand === 'SHARDS') putShards(out, map);
  else if (subcommand === 'NODES') out.verbatim(clusterNodes(map, services.router.nodeId));
  else out.bulkText(hostOf(map, services.router.nodeId).nodeHex);
}

function countKeysInSlot(args: Arguments, out: RespWriter, services: KvServices): void {
  const slot = smallIntegerAt(args.bytes, args.start(2), args.end(2));
  if (!(slot >= 0 && slot < slotCount)) {
    out.error('ERR Invalid slot');
    return;
  }
  const machine = services.machine(services.router.groupIdOfSlot(slot));
  out.integer(machine?.keyspace.slotSize(slot) ?? 0);
}

/** One line a host, eight fields before the slots. */
export function clusterNodes(map: ShardMap, selfId: number): string {
  const slots = slotsByHost(map);
  let text = '';
  for (const host of map.hosts) {
    const flags = host.id === selfId ? 'myself,master' : 'master';
    text += `${host.nodeHex} ${host.resp}@${host.busPort} ${flags} - 0 0 ${map.version} connected`;
    for (const { start, end } of slotsOf(slots, host)) {
      text += start === end ? ` ${start}` : ` ${start}-${end}`;
    }
    text += '\n';
  }
  return text;
}

function putSlots(out: RespWriter, map: ShardMap): void {
  const slots = slotsByHost(map);
  const rows = map.hosts.flatMap((host) => slotsOf(slots, host).map((range) => ({ host, range })));
  rows.sort((a, b) => a.range.start - b.range.start);
  out.array(rows.length);
  for (const { host, range } of rows) {
    const address = addressOf(host);
    out.array(3);
    out.integer(range.start);
    out.integer(range.end);
    out.array(3);
    out.bulkText(address.host);
    out.integer(address.port);
    out.bulkText(host.nodeHex);
  }
}

function putShards(out: RespWriter, map: ShardMap): void {
  const slots = slotsByHost(map);
  out.array(map.hosts.length);
  for (const host of map.hosts) {
    const address = addressOf(host);
    const ranges = slotsOf(slots, host);
    out.map(2);
    out.bulkText('slots');
    out.array(ranges.length * 2);
    for (const { start, end } of ranges) {
      out.integer(start);
      out.integer(end);
    }
    out.bulkText('nodes');
    out.array(1);
    out.map(7);
    out.bulkText('id');
    out.bulkText(host.nodeHex);
    out.bulkText('port');
    out.integer(address.port);
    out.bulkText('ip');
    out.bulkText(address.host);
    out.bulkText('endpoint');
    out.bulkText(address.host);
    out.bulkText('role');
    out.bulkText('master');
    out.bulkText('replication-offset');
    out.integer(map.version);
    out.bulkText('health');
    out.bulkText('online');
  }
}

function clusterInfo({ router }: KvServices): string {
  const { map } = router;
  const slots = map === null ? null : slotsByHost(map);
  const masters = map?.hosts.filter((host) => slots?.get(host.id)?.length !== 0).length ?? 0;
  const assigned = map === null ? 0 : slotCount;
  const lines = [
    `cluster_state:${map === null ? 'fail' : 'ok'}`,
    `cluster_slots_assigned:${assigned}`,
    `cluster_slots_ok:${assigned}`,
    'cluster_slots_pfail:0',
    'cluster_slots_fail:0',
    `cluster_known_nodes:${map?.hosts.length ?? 0}`,
    `cluster_size:${masters}`,
    `cluster_current_epoch:${map?.version ?? 0}`,
    `cluster_my_epoch:${map?.version ?? 0}`,
  ];
  return `${lines.join('\r\n')}\r\n`;
}

function hostOf(map: ShardMap, id: number): ShardHost {
  const host = map.hosts.find((each) => each.id === id);
  assert(host !== undefined, 'this host is in the map');
  return host;
}

function slotsOf(
  slots: ReadonlyMap<number, readonly HostSlots[]>,
  host: ShardHost,
): readonly HostSlots[] {
  return slots.get(host.id) ?? [];
}

function addressOf(host: ShardHost): HostPort {
  const address = splitAddress(host.resp);
  assert(address !== null, 'addresses in the map are valid');
  return address;
}

export const clusterCommands: readonly CommandSpec[] = [local('cluster', -2, runCluster)];
