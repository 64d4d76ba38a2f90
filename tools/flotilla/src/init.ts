// `init`: lays down a new cluster in an empty folder: a store per host, then cluster.json.
//
// The stores are created here and nowhere else, so that a host which later finds no store knows that it lost one, and
// refuses instead of starting empty under its old name. cluster.json is written last: a folder that has it is whole.

import { existsSync, mkdirSync, readdirSync } from 'node:fs';
import { resolve } from 'node:path';
import { createNodeWorld, FlotillaError } from '@flotilla/io';
import { openWal, type Wal } from '@flotilla/wal';
import {
  type ClusterFile,
  type ClusterHost,
  clusterFileName,
  hostFolder,
  type NewCluster,
  newCluster,
  walFolder,
  writeClusterFile,
} from './cluster-file.ts';

/** Nothing is there, or an empty folder. */
export function isVacant(directory: string): boolean {
  return !existsSync(directory) || readdirSync(directory).length === 0;
}

/** Makes a new cluster in `directory`, which must be vacant. Rejects with CONFIG_INVALID or what the disk says. */
export async function initCluster(directory: string, shape: NewCluster): Promise<ClusterFile> {
  if (!isVacant(directory)) {
    const problem = `${resolve(directory)} is not empty; a new cluster needs an empty folder`;
    throw new FlotillaError('CONFIG_INVALID', problem, { problems: [problem] });
  }
  const cluster = newCluster(shape);
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  for (const host of cluster.hosts) {
    mkdirSync(hostFolder(directory, host.id), { mode: 0o700 });
    await createStore(directory, cluster, host);
  }
  writeClusterFile(directory, cluster);
  return cluster;
}

/** One line for people. */
export function describeInit(directory: string, cluster: ClusterFile): string {
  const ports = cluster.hosts.map((host) => host.resp.listen).join(', ');
  return `made ${clusterFileName} and ${cluster.hosts.length} hosts with ${cluster.groups} groups in ${resolve(directory)}; clients: ${ports}`;
}

async function createStore(
  directory: string,
  cluster: ClusterFile,
  host: ClusterHost,
): Promise<void> {
  const { segmentBytes, entryBytesMax, walBytesMax } = cluster.options;
  const wal = await new Promise<Wal>((resolvePromise, reject) => {
    openWal(
      createNodeWorld(),
      {
        directory: walFolder(directory, host.id),
        create: true,
        instance: host.instance,
        ...(segmentBytes === undefined ? {} : { segmentBytes }),
        ...(entryBytesMax === undefined ? {} : { entryBytesMax }),
        ...(walBytesMax === undefined ? {} : { walBytesMax }),
      },
      { onDurable() {}, onPoisoned() {} },
      (error, opened) => (error === null ? resolvePromise(opened) : reject(error)),
    );
  });
  await new Promise<void>((resolvePromise, reject) => {
    wal.close((error) => (error === null ? resolvePromise() : reject(error)));
  });
}
