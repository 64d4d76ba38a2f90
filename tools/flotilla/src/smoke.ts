// `start --smoke`: shows in under a minute that a fresh checkout works, on data of its own that is gone afterwards.
//
// Three hosts as processes; 10,000 writes to keys of their own, each read back, while one host is killed half-way and comes
// back; then every acknowledged write is read once more. Anything lost or stale ends it with exit 1 and the reason.

import { randomInt } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Children } from './children.ts';
import type { ClusterFile } from './cluster-file.ts';
import { type ExitCode, exitCodes } from './exit-codes.ts';
import { findBasePort } from './free-ports.ts';
import { initCluster } from './init.ts';
import { RespClient } from './resp-client.ts';
import { whenInterrupted } from './start.ts';
import { fetchStatus } from './status.ts';

const writesTotal = 10_000;
const workers = 128;
const deadlineMs = 55_000;
const pollMs = 50;
const shape = { hosts: 3, groups: 64, options: { segmentBytes: 16 << 20 } } as const;

interface SmokeCounts {
  acked: number;
  /** Writes whose first attempt had an unknown outcome; sent again, since each key has one value only. */
  unknown: number;
  reads: number;
}

export async function runSmoke(): Promise<ExitCode> {
  const startedMs = performance.now();
  const directory = mkdtempSync(join(tmpdir(), 'flotilla-smoke-'));
  const abort = new AbortController();
  const timer = setTimeout(() => {
    abort.abort(new Error(`not finished in ${deadlineMs / 1_000} s`));
  }, deadlineMs);
  void whenInterrupted().then((signal) => abort.abort(new Error(`interrupted by ${signal}`)));
  const lines: string[] = [];
  let children: Children | null = null;
  let client: RespClient | null = null;
  try {
    const data = join(directory, 'data');
    const cluster = await initCluster(data, { ...shape, port: await findBasePort(shape.hosts) });
    children = new Children({
      data,
      ids: cluster.hosts.map(({ id }) => id),
      onChange: ({ id, state, reason }) => lines.push(`host ${id} ${state} ${reason}`),
      onLine: (id, line) => lines.push(`host ${id}: ${line}`),
    });
    children.start();
    client = new RespClient({ seeds: cluster.hosts.map(({ resp }) => resp.announce) });
    await whenServed(cluster, children, abort.signal);
    const servedMs = performance.now();
    console.log(`3 hosts serve all slots after ${seconds(servedMs - startedMs)}`);

    const counts: SmokeCounts = { acked: 0, unknown: 0, reads: 0 };
    const victim = cluster.hosts[randomInt(cluster.hosts.length)]?.id ?? 1;
    const killAt = writesTotal >> 1;
    await writeAll(client, counts, abort.signal, () => {
      if (counts.acked !== killAt) return;
      children?.kill(victim);
      console.log(`host ${victim} killed after ${killAt} writes`);
    });
    const writtenMs = performance.now();
    await children.until(
      (views) =>
        views.every(
          ({ id, state, restarts }) => state === 'ready' && (id !== victim || restarts > 0),
        ),
      abort.signal,
    );
    await whenServed(cluster, children, abort.signal);
    console.log(`host ${victim} is back`);
    await verifyAll(client, counts, abort.signal);
    const { movedFollowed, retries } = client.counters;
    console.log(
      `${counts.acked} writes acknowledged (${counts.unknown} sent twice), ${counts.reads} reads checked, none lost, none stale; ` +
        `MOVED followed ${movedFollowed} times, ${retries} retries; ` +
        `writing took ${seconds(writtenMs - servedMs)}, all ${seconds(performance.now() - startedMs)}`,
    );
    return exitCodes.ok;
  } catch (error) {
    for (const line of lines) console.error(line);
    console.error(`smoke: ${error instanceof Error ? error.message : String(error)}`);
    return exitCodes.failed;
  } finally {
    clearTimeout(timer);
    client?.close();
    await children?.stop();
    rmSync(directory, { recursive: true, force: true });
  }
}

/** All hosts run, and each group is led by one of them. */
async function whenServed(
  cluster: ClusterFile,
  children: Children,
  signal: AbortSignal,
): Promise<void> {
  await children.until((views) => {
    const refused = views.find(({ state }) => state === 'refused');
    if (refused !== undefined) throw new Error(`host ${refused.id} refuses: ${refused.reason}`);
    return views.every(({ state }) => state === 'ready');
  }, signal);
  const address = cluster.hosts[0]?.resp.announce ?? '';
  for (;;) {
    signal.throwIfAborted();
    const status = await fetchStatus(address);
    // The group of the shard map is one more.
    const led = status?.groups.filter(({ leader }) => leader !== 0).length ?? 0;
    if (led === cluster.groups + 1) return;
    await new Promise((resolve) => setTimeout(resolve, pollMs));
  }
}

const keyOf = (i: number): string => `smoke:${i}`;
const valueOf = (i: number): string => `value-${i}-${'x'.repeat(i % 100)}`;

async function writeAll(
  client: RespClient,
  counts: SmokeCounts,
  signal: AbortSignal,
  onAcked: () => void,
): Promise<void> {
  await inParallel(async (i) => {
    for (;;) {
      signal.throwIfAborted();
      const outcome = await client.write(keyOf(i), ['SET', keyOf(i), valueOf(i)]);
      if (outcome.kind === 'ok') break;
      if (outcome.kind === 'failed') throw new Error(`write ${i} failed: ${outcome.reason}`);
      counts.unknown++;
    }
    counts.acked++;
    onAcked();
    await verify(client, counts, i);
  });
}

async function verifyAll(
  client: RespClient,
  counts: SmokeCounts,
  signal: AbortSignal,
): Promise<void> {
  await inParallel(async (i) => {
    signal.throwIfAborted();
    await verify(client, counts, i);
  });
}

async function verify(client: RespClient, counts: SmokeCounts, i: number): Promise<void> {
  const outcome = await client.read(keyOf(i), ['GET', keyOf(i)]);
  if (outcome.kind !== 'ok') throw new Error(`read ${i} failed: ${outcome.reason}`);
  if (outcome.reply !== valueOf(i)) {
    const found = outcome.reply === null ? 'nothing' : JSON.stringify(outcome.reply);
    throw new Error(`LOST: ${keyOf(i)} was acknowledged, but a read finds ${found}`);
  }
  counts.reads++;
}

/** Runs `work` for 0..writesTotal-1, `workers` at a time; the first failure ends it. */
async function inParallel(work: (i: number) => Promise<void>): Promise<void> {
  let next = 0;
  const run = async (): Promise<void> => {
    while (next < writesTotal) await work(next++);
  };
  await Promise.all(Array.from({ length: workers }, run));
}

function seconds(ms: number): string {
  return `${(ms / 1_000).toFixed(1)} s`;
}
