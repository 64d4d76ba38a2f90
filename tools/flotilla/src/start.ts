// `start` (and `quickstart`, which `npm start` runs): a whole local cluster, every host a child process, until Ctrl-C.
//
// Makes the cluster where the folder is vacant. A host that dies is started again; one that refuses stays down while the
// others go on, unless so many refuse that no majority is left: then everything stops with the exit code of a refusal.

import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { FlotillaError } from '@flotilla/io';
import { Children, type ChildView } from './children.ts';
import { type ClusterFile, clusterFileName, readClusterFile } from './cluster-file.ts';
import { type ExitCode, exitCodes } from './exit-codes.ts';
import { firstTaken } from './free-ports.ts';
import { describeInit, initCluster } from './init.ts';
import { LiveView } from './live-view.ts';

export interface StartCommand {
  readonly data: string;
  /** What was asked for, where anything was. An existing cluster must agree with it. */
  readonly hosts: number | undefined;
  readonly groups: number | undefined;
  readonly port: number | undefined;
}

export const defaultShape = { hosts: 3, groups: 64, port: 7001 } as const;

export async function runStart(command: StartCommand): Promise<ExitCode> {
  const stopped = whenInterrupted();
  const cluster = await openCluster(command);
  await refuseTakenPorts(cluster);
  let view: LiveView | null = null;
  const children = new Children({
    data: command.data,
    ids: cluster.hosts.map(({ id }) => id),
    onChange: (child) => view?.note(describeChange(child)),
    onLine: (_id, line) => view?.note(line),
  });
  view = new LiveView(process.stdout, cluster, children, headingOf(command.data, cluster));
  view.open();
  children.start();
  const giveUp = new AbortController();
  const hopeless = children
    .until((views) => refusedIn(views) * 2 >= views.length, giveUp.signal)
    .then(
      () => 'hopeless' as const,
      () => 'stopped' as const,
    );
  const end = await Promise.race([stopped.then(() => 'stopped' as const), hopeless]);
  giveUp.abort();
  view.note(end === 'stopped' ? 'stopping' : 'no majority of the hosts can start; stopping');
  await children.stop();
  view.close();
  if (end === 'stopped') {
    console.log(`stopped; start again with the same data: ${resolve(command.data)}`);
    return exitCodes.ok;
  }
  for (const child of children.views()) {
    if (child.state === 'refused') console.error(`host ${child.id} refuses: ${child.reason}`);
  }
  return exitCodes.refused;
}

async function openCluster(command: StartCommand): Promise<ClusterFile> {
  const { data, hosts, groups, port } = command;
  if (!existsSync(join(data, clusterFileName))) {
    const shape = {
      hosts: hosts ?? defaultShape.hosts,
      groups: groups ?? defaultShape.groups,
      port: port ?? defaultShape.port,
    };
    const cluster = await initCluster(data, shape);
    console.log(describeInit(data, cluster));
    return cluster;
  }
  const cluster = readClusterFile(data);
  const problems: string[] = [];
  const expect = (name: string, asked: number | undefined, found: number | string): void => {
    if (asked !== undefined && asked !== found) {
      problems.push(`--${name} ${asked} was asked for, but the cluster in ${data} has ${found}`);
    }
  };
  expect('hosts', hosts, cluster.hosts.length);
  expect('groups', groups, cluster.groups);
  expect('port', port, Number(/\d+$/.exec(cluster.hosts[0]?.resp.listen ?? '')?.[0]));
  if (problems.length > 0) {
    throw new FlotillaError('CONFIG_INVALID', problems.join('; '), { problems });
  }
  return cluster;
}

async function refuseTakenPorts(cluster: ClusterFile): Promise<void> {
  const addresses = cluster.hosts.flatMap(({ peer, resp, metrics }) => [
    resp.listen,
    peer.listen,
    ...(metrics === null ? [] : [metrics.listen]),
  ]);
  const taken = await firstTaken(addresses);
  if (taken === null) return;
  const { address, code } = taken;
  const message =
    code === 'EADDRINUSE'
      ? `${address} is in use by another process; is this cluster running already? (\`status\` tells; \`--port\` gives a new cluster other ports)`
      : `cannot listen on ${address}: ${code}`;
  throw new FlotillaError('IO_REFUSED', message, { code });
}

function headingOf(data: string, cluster: ClusterFile): string[] {
  const [first] = cluster.hosts;
  const port = /\d+$/.exec(first?.resp.announce ?? '')?.[0] ?? '';
  const { length } = cluster.hosts;
  return [
    `Flotilla: ${length} hosts, ${cluster.groups} groups, data in ${resolve(data)}`,
    `connect:  redis-cli -c -p ${port}`,
  ];
}

function describeChange({ id, state, pid, reason }: ChildView): string {
  switch (state) {
    case 'starting':
      return `host ${id} starts (process ${pid})`;
    case 'ready':
      return `host ${id} serves`;
    case 'waiting':
      return `host ${id} died (${reason}); it is started again`;
    case 'refused':
      return `host ${id} refuses to start: ${reason}`;
    case 'stopped':
      return `host ${id} stopped`;
  }
}

function refusedIn(views: readonly ChildView[]): number {
  return views.filter(({ state }) => state === 'refused').length;
}

/** Resolves at the first SIGINT, SIGTERM or SIGHUP; the later ones find the stop under way. */
export function whenInterrupted(): Promise<NodeJS.Signals> {
  return new Promise((resolvePromise) => {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
      process.on(signal, () => resolvePromise(signal));
    }
  });
}
