// `host`: one host of the cluster in the foreground.
//
// Says `ready` once it listens to its peers and to clients. SIGTERM and SIGINT stop it in good order: everything laid is
// durable, exit 0. It refuses to start with exit 78 and the reason on stderr; a failed disk ends it at once with exit 75,
// before anybody can be told of a write that may not be there. With `parent` it also stops when its standard input ends,
// so that no host outlives the command that started it.

import { statSync } from 'node:fs';
import { join } from 'node:path';
import { Host, type NumberOptionName, numberOptions, type PeerAddress } from '@flotilla/host';
import { FlotillaError } from '@flotilla/io';
import { type KvNode, type KvOpenOptions, openKv } from '@flotilla/kv';
import {
  type ClusterFile,
  type ClusterHost,
  clusterFileName,
  hostFolder,
  hostOf,
  readClusterFile,
  walFolder,
} from './cluster-file.ts';
import { describe, type ExitCode, exitCodeOf, exitCodes } from './exit-codes.ts';
import { serveMetrics } from './metrics-server.ts';
import { printable } from './printable.ts';

export interface HostCommand {
  readonly data: string;
  readonly id: number;
  readonly json: boolean;
  readonly parent: boolean;
}

/** A host that takes longer to stop has lost its way; what is durable is durable, the rest is recovered. */
const stopMsMax = 30_000;

export async function runHost(command: HostCommand): Promise<ExitCode> {
  const stop = whenToldToStop(command.parent);
  let running: RunningHost;
  try {
    running = await openHost(command);
  } catch (error) {
    const exitCode = exitCodeOf(error);
    console.error(describe(error));
    const code = error instanceof FlotillaError ? error.code : 'INTERNAL';
    const message = error instanceof Error ? error.message : String(error);
    if (command.json) emit({ event: 'refused', id: command.id, code, message, exitCode });
    return exitCode;
  }
  const { host, kv, cluster, metricsAddress } = running;
  const ready = {
    event: 'ready',
    id: command.id,
    pid: process.pid,
    resp: kv.address,
    peer: host.address,
    metrics: metricsAddress,
    epoch: host.epoch,
    recovery: host.recovery,
  };
  if (command.json) emit(ready);
  else {
    const { verdict, groups, elapsedMs } = host.recovery;
    console.log(
      `host ${command.id} of ${cluster.hosts.length} serves clients at ${kv.address}, peers at ${host.address} (process ${process.pid}; log ${verdict}, ${groups} groups in ${Math.round(elapsedMs)} ms)`,
    );
  }
  const signal = await stop;
  const watchdog = setTimeout(() => {
    console.error(`host ${command.id} did not stop in ${stopMsMax} ms`);
    process.exit(exitCodes.internal);
  }, stopMsMax);
  await running.close();
  clearTimeout(watchdog);
  if (command.json) emit({ event: 'stopped', id: command.id, signal });
  return exitCodes.ok;
}

interface RunningHost {
  readonly host: Host;
  readonly kv: KvNode;
  readonly cluster: ClusterFile;
  readonly metricsAddress: string | null;
  close(): Promise<void>;
}

async function openHost({ data, id, json }: HostCommand): Promise<RunningHost> {
  const cluster = readClusterFile(data);
  const self = hostOf(cluster, id);
  const say = (line: string): void => console.error(printable(`host ${id}: ${line}`));
  warnOfOpenFolders(data, id, say);
  const host = await Host.open({
    ...hostNumbers(cluster),
    nodeId: id,
    directory: walFolder(data, id),
    create: false,
    instance: self.instance,
    clusterId: Buffer.from(cluster.clusterId, 'hex'),
    listen: self.peer.listen,
    peers: cluster.hosts.filter((other) => other.id !== id).map(peerAddress),
    suspectTail: cluster.options.suspectTail,
    syncMethod: cluster.options.syncMethod,
    ioThread: cluster.options.ioThread,
    insecureNetwork: cluster.options.insecureNetwork,
    onInfo: say,
    onPoisoned: (error) => endPoisoned(id, json, error),
  });
  try {
    const kv = await openKv(kvOpenOptions(host, cluster, self, say));
    const metrics =
      self.metrics === null ? null : await serveMetrics(self.metrics.listen, host, kv);
    return {
      host,
      kv,
      cluster,
      metricsAddress: metrics?.address ?? null,
      close: async () => {
        await metrics?.close();
        await kv.close();
        await host.close();
      },
    };
  } catch (error) {
    await host.close();
    throw error;
  }
}

function peerAddress({ id, instance, peer }: ClusterHost): PeerAddress {
  return { nodeId: id, address: peer.dial, instance };
}

/** The options of cluster.json that are the engine's own numbers. */
function hostNumbers({ options }: ClusterFile): Partial<Record<NumberOptionName, number>> {
  const numbers: Partial<Record<NumberOptionName, number>> = {};
  for (const name of Object.keys(numberOptions) as NumberOptionName[]) {
    const value = options[name];
    if (value !== undefined) numbers[name] = value;
  }
  return numbers;
}

function kvOpenOptions(
  host: Host,
  cluster: ClusterFile,
  self: ClusterHost,
  say: (line: string) => void,
): KvOpenOptions {
  return {
    host,
    cluster: {
      clusterId: cluster.clusterId,
      groups: cluster.groups,
      hosts: cluster.hosts.map(({ id, resp, peer }) => ({
        id,
        resp: resp.announce,
        peer: peer.dial,
      })),
    },
    listen: self.resp.listen,
    options: {
      processFigures: () => {
        const { rss, heapUsed } = process.memoryUsage();
        return { pid: process.pid, rssBytes: rss, heapBytes: heapUsed };
      },
      onProblem: (error) => say(error instanceof Error ? error.message : String(error)),
    },
  };
}

/** Data and identities are nobody else's business; who widened the modes on purpose is only told. */
function warnOfOpenFolders(data: string, id: number, say: (line: string) => void): void {
  const paths = [join(data, clusterFileName), data, hostFolder(data, id), walFolder(data, id)];
  for (const path of paths) {
    const mode = statSync(path, { throwIfNoEntry: false })?.mode ?? 0;
    const open = mode & 0o077;
    if (open === 0) continue;
    const modeText = (mode & 0o777).toString(8).padStart(4, '0');
    say(`other users of this machine can get at ${path} (mode ${modeText})`);
  }
}

/** The log cannot be trusted any more. Nothing is closed or flushed: that could only pretend. */
function endPoisoned(id: number, json: boolean, error: FlotillaError): never {
  console.error(`host ${id} stops: its disk failed\n${describe(error)}`);
  const { code, message } = error;
  if (json) emit({ event: 'poisoned', id, code, message, exitCode: exitCodes.diskFailed });
  process.exit(exitCodes.diskFailed);
}

/**
 * Resolves at the first SIGTERM or SIGINT, or the end of standard input where a parent holds it. Later ones change
 * nothing: a Ctrl-C reaches parent and child alike, and the parent passes it on.
 */
function whenToldToStop(parent: boolean): Promise<string> {
  return new Promise((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) {
      process.on(signal, () => resolve(signal));
    }
    if (!parent) return;
    const ended = (): void => resolve('end of input');
    process.stdin.on('end', ended).on('error', ended).resume();
  });
}

function emit(event: Readonly<Record<string, unknown>>): void {
  console.log(JSON.stringify(event));
}
