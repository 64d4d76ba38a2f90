// The text of INFO: lines `name:value` in sections, as tools of the Redis world read them, and our own counters.

import { splitAddress } from '@flotilla/sharding';
import type { KvServices } from './services.ts';

/** The version of the protocol's reference server that replies are modelled on; clients choose features by it. */
export const redisVersion = '7.0.15';

type Section = (services: KvServices) => readonly string[];

const sections: Readonly<Record<string, Section>> = {
  server: ({ clock, router, startedMs, processFigures }) => [
    `redis_version:${redisVersion}`,
    'redis_mode:cluster',
    'server_name:flotilla',
    `process_id:${processFigures().pid}`,
    `run_id:${nodeHexOf(router)}`,
    `tcp_port:${portOf(router)}`,
    `uptime_in_seconds:${Math.floor((clock.monotonicMs() - startedMs) / 1_000)}`,
    `flotilla_node_id:${router.nodeId}`,
  ],
  clients: ({ counters, clientsMax }) => [
    `connected_clients:${counters.connectionsOpen}`,
    `maxclients:${clientsMax}`,
  ],
  memory: ({ processFigures }) => {
    const { heapBytes, rssBytes } = processFigures();
    return [`used_memory:${heapBytes}`, `used_memory_rss:${rssBytes}`, 'maxmemory:0'];
  },
  persistence: () => ['loading:0', 'aof_enabled:1'],
  stats: ({ counters }) => [
    `total_connections_received:${counters.connectionsAccepted}`,
    `rejected_connections:${counters.connectionsRefused}`,
    `total_commands_processed:${counters.commands}`,
    `total_net_input_bytes:${counters.bytesReceived}`,
    `total_net_output_bytes:${counters.bytesSent}`,
    `total_error_replies:${counters.errors}`,
    `flotilla_writes_applied:${counters.writesApplied}`,
    `flotilla_reads_served:${counters.readsServed}`,
    `flotilla_holds:${counters.holds}`,
    `flotilla_internal_failures:${counters.internalFailures}`,
    `flotilla_errors_total:${counters.errors}`,
  ],
  replication: () => ['role:master', 'connected_slaves:0'],
  errorstats: ({ counters }) =>
    [...counters.errorKinds].map(([kind, count]) => `errorstat_${kind}:count=${count}`),
  cluster: () => ['cluster_enabled:1'],
  keyspace: (services) => {
    const { keys, expires } = ledKeys(services);
    return keys === 0 ? [] : [`db0:keys=${keys},expires=${expires},avg_ttl=0`];
  },
};

/** The sections asked for (none: all), each with its heading. Unknown names give nothing. */
export function infoText(services: KvServices, asked: readonly string[]): string {
  const isAll = asked.length === 0 || asked.some((name) => /^(all|default|everything)$/.test(name));
  let text = '';
  for (const [name, section] of Object.entries(sections)) {
    if (!isAll && !asked.includes(name)) continue;
    const heading = name.charAt(0).toUpperCase() + name.slice(1);
    if (text !== '') text += '\r\n';
    text += `# ${heading}\r\n`;
    for (const line of section(services)) text += `${line}\r\n`;
  }
  return text;
}

/** Keys of the groups that this host leads: summed over all hosts, every key once. */
export function ledKeys(services: KvServices): { keys: number; expires: number } {
  let keys = 0;
  let expires = 0;
  for (const [groupId, machine] of services.machines()) {
    if (services.router.group(groupId)?.isLeader !== true) continue;
    keys += machine.keyspace.size;
    expires += machine.keyspace.expiringCount;
  }
  return { keys, expires };
}

function nodeHexOf({ map, nodeId }: KvServices['router']): string {
  return map?.hosts.find((host) => host.id === nodeId)?.nodeHex ?? '0'.repeat(40);
}

function portOf({ map, nodeId }: KvServices['router']): number {
  const address = map?.hosts.find((host) => host.id === nodeId)?.resp ?? '';
  return splitAddress(address)?.port ?? 0;
}
