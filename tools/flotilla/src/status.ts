// `status`: the cluster as its hosts see it. One host is asked who the others are, then each of them how it stands.
//
// Each host speaks for itself only; what is said of a group is what the replica with the highest term says that leads it,
// and where none does, the furthest that any replica is.

import type { KvGroupStatus, KvHostStatus } from '@flotilla/kv';
import { type ExitCode, exitCodes } from './exit-codes.ts';
import { StatusSource } from './host-status.ts';
import { textTable } from './text-table.ts';

export interface HostRow {
  readonly id: number;
  readonly pid: number | null;
  readonly up: boolean;
  readonly resp: string;
  readonly peer: string;
  readonly leaders: number;
  readonly groups: number;
  readonly walBytes: number;
  readonly rssMiB: number;
}

export interface GroupRow {
  readonly id: number;
  /** Node id, 0 = nobody is known to lead. */
  readonly leader: number;
  readonly term: number;
  readonly commitIndex: number;
  readonly appliedIndex: number;
  readonly members: readonly number[];
}

export interface ClusterStatus {
  readonly hosts: readonly HostRow[];
  readonly groups: readonly GroupRow[];
}

export async function runStatus(address: string, json: boolean): Promise<ExitCode> {
  const status = await fetchStatus(address);
  if (status === null) {
    console.error(`no host answers at ${address}`);
    return exitCodes.failed;
  }
  console.log(json ? JSON.stringify(status) : describeStatus(status));
  return exitCodes.ok;
}

/** Null where no host answers at that address. */
export async function fetchStatus(address: string): Promise<ClusterStatus | null> {
  const first = new StatusSource(address);
  const seen = await first.host();
  first.close();
  if (seen === null) return null;
  const known = seen.hosts.length > 0 ? seen.hosts : [{ id: seen.id, resp: address, peer: '' }];
  const answers = await Promise.all(
    known.map(async ({ id, resp, peer }) => {
      const source = new StatusSource(resp);
      const host = await source.host();
      const groups = host === null ? null : await source.groups();
      source.close();
      return { row: hostRow(id, resp, peer, host), groups: groups ?? [] };
    }),
  );
  return {
    hosts: answers.map(({ row }) => row),
    groups: mergeGroups(new Map(answers.map(({ row, groups }) => [row.id, groups]))),
  };
}

function hostRow(id: number, resp: string, peer: string, host: KvHostStatus | null): HostRow {
  return {
    id,
    pid: host?.pid ?? null,
    up: host !== null,
    resp,
    peer,
    leaders: host?.leaders ?? 0,
    groups: host?.groups ?? 0,
    walBytes: host?.walBytes ?? 0,
    rssMiB: host?.rssMiB ?? 0,
  };
}

/** One row a group from what each host (by node id) says of its replica. */
export function mergeGroups(
  byHost: ReadonlyMap<number, readonly KvGroupStatus[]>,
): readonly GroupRow[] {
  const rows = new Map<number, GroupRow & { readonly isSure: boolean }>();
  for (const [nodeId, groups] of byHost) {
    for (const group of groups) {
      const isSure = group.role === 'leader';
      const known = rows.get(group.groupId);
      const row = {
        id: group.groupId,
        leader: isSure ? nodeId : 0,
        term: group.term,
        commitIndex: group.commitIndex,
        appliedIndex: group.appliedIndex,
        members: group.members,
        isSure,
      };
      if (known === undefined || isBetter(row, known)) rows.set(group.groupId, row);
    }
  }
  return [...rows.values()].sort((a, b) => a.id - b.id).map(({ isSure: _isSure, ...row }) => row);
}

type Candidate = GroupRow & { readonly isSure: boolean };

/** A leader of an older term may not know yet that it was deposed. */
function isBetter(row: Candidate, known: Candidate): boolean {
  if (row.isSure !== known.isSure) return row.isSure;
  if (row.term !== known.term) return row.term > known.term;
  return row.commitIndex > known.commitIndex;
}

function describeStatus({ hosts, groups }: ClusterStatus): string {
  const hostTable = textTable(
    ['host', 'state', 'pid', 'clients', 'peers', 'leaders', 'groups', 'log MiB', 'rss MiB'],
    hosts.map((host) => [
      String(host.id),
      host.up ? 'up' : 'down',
      String(host.pid ?? '-'),
      host.resp,
      host.peer,
      String(host.leaders),
      String(host.groups),
      (host.walBytes / 2 ** 20).toFixed(0),
      String(host.rssMiB),
    ]),
  );
  const groupTable = textTable(
    ['group', 'leader', 'term', 'commit', 'applied', 'members'],
    groups.map((group) => [
      String(group.id),
      group.leader === 0 ? '-' : String(group.leader),
      String(group.term),
      String(group.commitIndex),
      String(group.appliedIndex),
      group.members.join(' '),
    ]),
  );
  return `${hostTable}\n\n${groupTable}`;
}
