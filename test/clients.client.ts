// Clients that nobody here wrote: ioredis, node-redis, redis-cli and redis-benchmark, each as its users would use it.
//
// The two tools are used where they are installed (apt-get install redis-tools); where not, that is said aloud.

import { spawnSync } from 'node:child_process';
import { Cluster, Redis } from 'ioredis';
import { createClient, createCluster } from 'redis';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type RespClient, slotOf } from '../tools/flotilla/src/resp-client.ts';
import { TestCluster } from './support/cluster.ts';
import { eventually } from './support/eventually.ts';
import { killAll, run } from './support/processes.ts';

const hasTools = ['redis-cli', 'redis-benchmark'].every(
  (tool) => spawnSync(tool, ['--version']).status === 0,
);
if (!hasTools)
  console.warn('clients.client.ts: redis-cli and redis-benchmark NOT RUN, they are missing');

let cluster: TestCluster;
let ours: RespClient;

beforeAll(async () => {
  cluster = await TestCluster.start({ groups: 12 });
  ours = cluster.client();
  await whenSlotsAreTrue();
});

afterAll(async () => {
  ours?.close();
  await cluster?.dispose();
  await killAll();
});

const nodes = (): { host: string; port: number }[] =>
  cluster.ids.map((id) => ({ host: '127.0.0.1', port: cluster.port + id - 1 }));

/** Hosts that CLUSTER SLOTS names do lead their slots: clients that ask once will not be redirected. */
async function whenSlotsAreTrue(): Promise<void> {
  await eventually(
    async () => {
      const reply = await ours.ask(cluster.address(1), ['CLUSTER', 'SLOTS']);
      const ranges = reply as readonly (readonly [number, number, readonly [string, number]])[];
      for (let i = 0; i < 200; i++) {
        const key = `probe:${i}`;
        const slot = slotOf(key);
        const range = ranges.find(([start, end]) => start <= slot && slot <= end);
        if (range === undefined) return false;
        const [host, port] = range[2];
        if ((await ours.ask(`${host}:${port}`, ['GET', key])) !== null) return false;
      }
      return true;
    },
    { what: 'CLUSTER SLOTS says who leads' },
  );
}

/** A key that this host serves itself, for clients that know nothing of clusters. */
async function keyServedBy(id: number, prefix: string): Promise<string> {
  for (let i = 0; i < 200; i++) {
    const key = `${prefix}:${i}`;
    if ((await ours.ask(cluster.address(id), ['GET', key])) === null) return key;
  }
  throw new Error(`host ${id} serves none of 200 keys`);
}

async function counters(): Promise<{ writesApplied: number; errors: number }> {
  const sum = { writesApplied: 0, errors: 0 };
  for (const address of cluster.addresses) {
    const status = JSON.parse((await ours.ask(address, ['FLOTILLA', 'STATUS'])) as string) as {
      counters: Record<string, number>;
    };
    sum.writesApplied += status.counters['writesApplied'] ?? 0;
    sum.errors += status.counters['errors'] ?? 0;
  }
  return sum;
}

const binary = Buffer.from(Array.from({ length: 256 }, (_, i) => i));

describe('ioredis', () => {
  it('works on the cluster: routing, pipelines, counters, hash tags, bytes, expiry', async () => {
    const redis = new Cluster(nodes(), { redisOptions: { connectionName: 'test' } });
    try {
      const keys = Array.from({ length: 1_000 }, (_, i) => `ioredis:${i}`);
      const acks = await Promise.all(keys.map((key, i) => redis.set(key, String(i))));
      expect(new Set(acks)).toEqual(new Set(['OK']));
      const values = await Promise.all(keys.map((key) => redis.get(key)));
      expect(values).toEqual(keys.map((_, i) => String(i)));
      await Promise.all(Array.from({ length: 500 }, () => redis.incr('ioredis:count')));
      expect(await redis.get('ioredis:count')).toBe('500');
      expect(await redis.mset('{t}a', '1', '{t}b', '2')).toBe('OK');
      expect(await redis.mget('{t}a', '{t}b', '{t}c')).toEqual(['1', '2', null]);
      const replies = await redis
        .pipeline()
        .set('{t}p', 'x')
        .append('{t}p', 'y')
        .get('{t}p')
        .exec();
      expect(replies?.map(([error, reply]) => error ?? reply)).toEqual(['OK', 2, 'xy']);
      await redis.set('ioredis:bytes', binary);
      expect(await redis.getBuffer('ioredis:bytes')).toEqual(binary);
      expect(await redis.set('ioredis:once', 'a', 'EX', 100, 'NX')).toBe('OK');
      expect(await redis.set('ioredis:once', 'b', 'NX')).toBeNull();
      expect(await redis.ttl('ioredis:once')).toBeGreaterThan(90);
      expect(await redis.del('ioredis:once')).toBe(1);
      expect(await redis.exists('ioredis:once')).toBe(0);
    } finally {
      redis.disconnect();
    }
  });

  it('works on one host, which tells it where other keys are', async () => {
    const [node] = nodes();
    const redis = new Redis({ ...node, lazyConnect: true });
    try {
      await redis.connect();
      const key = await keyServedBy(1, 'ioredis-single');
      expect(await redis.set(key, 'v')).toBe('OK');
      expect(await redis.getset(key, 'w')).toBe('v');
      expect(await redis.strlen(key)).toBe(1);
      const elsewhere = await keyServedBy(2, 'ioredis-elsewhere');
      await expect(redis.get(elsewhere)).rejects.toThrow(
        `MOVED ${slotOf(elsewhere)} ${cluster.address(2)}`,
      );
      expect(await redis.info()).toContain('cluster_enabled:1');
    } finally {
      redis.disconnect();
    }
  });
});

describe('node-redis', () => {
  it('works on the cluster', async () => {
    const redis = createCluster({
      rootNodes: cluster.addresses.map((each) => ({ url: `redis://${each}` })),
    });
    await redis.connect();
    try {
      const keys = Array.from({ length: 1_000 }, (_, i) => `node-redis:${i}`);
      await Promise.all(keys.map((key, i) => redis.set(key, String(i))));
      const values = await Promise.all(keys.map((key) => redis.get(key)));
      expect(values).toEqual(keys.map((_, i) => String(i)));
      await Promise.all(Array.from({ length: 500 }, () => redis.incr('node-redis:count')));
      expect(await redis.get('node-redis:count')).toBe('500');
      expect(
        await redis.set('node-redis:e', 'x', { expiration: { type: 'PX', value: 50_000 } }),
      ).toBe('OK');
      expect(await redis.pTTL('node-redis:e')).toBeGreaterThan(40_000);
      expect(await redis.mGet(['{n}a', '{n}b'])).toEqual([null, null]);
    } finally {
      redis.destroy();
    }
  });

  it('works on one host, over version 3 of the protocol', async () => {
    const redis = createClient({ url: `redis://${cluster.address(3)}`, RESP: 3 });
    await redis.connect();
    try {
      const key = await keyServedBy(3, 'node-redis-single');
      expect(await redis.set(key, 'v')).toBe('OK');
      expect(await redis.get(key)).toBe('v');
      expect(await redis.del(key)).toBe(1);
      expect(await redis.ping()).toBe('PONG');
    } finally {
      redis.destroy();
    }
  });
});

describe.skipIf(!hasTools)('the tools of Redis', () => {
  const at = (id: number): string[] => ['-h', '127.0.0.1', '-p', String(cluster.port + id - 1)];

  it('redis-cli follows redirections, in both versions of the protocol', async () => {
    for (const version of ['-2', '-3']) {
      const input =
        'SET cli:a 1\nSET cli:b 2\nSET cli:c 3\nINCR cli:c\nGET cli:c\nDEL cli:a cli:a\n';
      const cli = await run('redis-cli', ['-c', version, ...at(1)], { input });
      expect(cli.end?.code, cli.stderr).toBe(0);
      const replies = cli.stdout
        .trim()
        .split('\n')
        .filter((line) => !line.startsWith('->'));
      expect(replies).toEqual(['OK', 'OK', 'OK', '4', '4', '1']);
    }
  });

  it('redis-cli --cluster check finds all slots covered and all hosts of one mind', async () => {
    for (const id of cluster.ids) {
      const check = await run('redis-cli', ['--cluster', 'check', cluster.address(id)]);
      expect(check.end?.code, check.stdout + check.stderr).toBe(0);
      expect(check.stdout).toContain('[OK] All nodes agree about slots configuration.');
      expect(check.stdout).toContain('[OK] All 16384 slots covered.');
    }
  });

  it('redis-benchmark --cluster sets 200,000 values in pipelines; the counters agree', async () => {
    const before = await counters();
    const words = ['--cluster', ...at(1), '-t', 'set', '-n', '200000', '-P', '16', '-c', '50'];
    const bench = await run('redis-benchmark', [...words, '-r', '50000', '-d', '16', '--csv'], {
      deadlineMs: 150_000,
    });
    expect(bench.end?.code, bench.stdout + bench.stderr).toBe(0);
    expect(bench.stdout).toMatch(/"SET","\d+/);
    const after = await counters();
    const errors = after.errors - before.errors;
    const applied = after.writesApplied - before.writesApplied;
    console.log(
      `redis-benchmark: ${bench.stdout.trim().split('\n').at(-1)}; ${applied} applied, ${errors} errors`,
    );
    // CONFIG and other questions that a host declines are errors, too: a handful.
    expect(errors).toBeLessThan(200);
    expect(applied).toBeGreaterThanOrEqual(200_000 - errors);
  });
});
