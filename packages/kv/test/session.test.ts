import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { FakeCluster, ManualClock, settle } from '../../sharding/test/fake-cluster.ts';
import { openKv } from '../src/index.ts';
import { slotOfKey } from '../src/keyspace.ts';
import { clusterConfig, encode, startCluster, TestClient, type TestCluster } from './harness.ts';

let cluster: TestCluster;
let client: TestClient;
/** The group of the key `k`, and of `q` in another group. */
let groupId: number;
let otherGroupId: number;

beforeEach(async () => {
  cluster = await startCluster({ holdMs: 2_000 });
  cluster.leadAll(1);
  client = cluster.client(1);
  groupId = cluster.node(1).keeper.machine.groupIdOfSlot(slotOfKey('k'));
  otherGroupId = cluster.node(1).keeper.machine.groupIdOfSlot(slotOfKey('foo'));
  expect(otherGroupId).not.toBe(groupId);
});
afterEach(() => cluster.close());

async function pipeline(...lines: string[]): Promise<string> {
  client.session.onData(Buffer.from(`${lines.join('\r\n')}\r\n`, 'latin1'));
  await settle();
  return client.socket.take().replaceAll('\r\n', '|');
}

describe('order', () => {
  test('a reply waits for all earlier ones, also of other groups', async () => {
    cluster.fake.park(groupId);
    expect(await pipeline('SET k v', 'SET foo w', 'PING', 'NOSUCH')).toBe('');
    cluster.fake.release(groupId);
    await settle();
    expect(client.socket.take()).toBe(
      "+OK\r\n+OK\r\n+PONG\r\n-ERR unknown command 'NOSUCH', with args beginning with: \r\n",
    );
  });

  test('replies that are ready together leave in one write', async () => {
    client.session.onData(Buffer.from('SET k 1\r\nINCR k\r\nGET k\r\nPING\r\n'));
    await settle();
    // The read waits for both writes and is answered in the same turn as they are.
    expect(client.socket.chunks.map(String)).toEqual(['+OK\r\n:2\r\n$1\r\n2\r\n+PONG\r\n']);
  });

  test('a pipeline reads its own writes and not its later ones', async () => {
    cluster.fake.park(groupId);
    await pipeline('SET k 1', 'GET k', 'SET k 2', 'GET k', 'GET k', 'INCR k');
    cluster.fake.release(groupId);
    await settle();
    expect(client.socket.take().replaceAll('\r\n', '|')).toBe('+OK|$1|1|+OK|$1|2|$1|2|:3|');
  });

  test('a refused write is sent again before the later ones that were refused with it', async () => {
    cluster.fake.failProposals(groupId, 'NOT_LEADER', 'NOT_LEADER', 'NOT_LEADER');
    await pipeline('APPEND k a', 'APPEND k b', 'APPEND k c');
    await cluster.clock.advance(50);
    expect(client.socket.take()).toBe(':1\r\n:2\r\n:3\r\n');
    expect(await client.line('GET k')).toBe('$3|abc|');
  });

  test('a refused write is not sent again once a later one of its connection has happened', async () => {
    cluster.fake.failProposals(groupId, 'BUSY');
    expect(await pipeline('SET k 1', 'SET k 2')).toMatch(/^-TRYAGAIN [^|]*\|\+OK\|$/);
    await cluster.clock.advance(50);
    expect(await client.line('GET k')).toBe('$1|2|');
  });
});

describe('leaders', () => {
  test('a follower names the leader', async () => {
    cluster.leadAll(3);
    expect(await client.line('SET k v')).toBe(`-MOVED ${slotOfKey('k')} 127.0.0.1:7003|`);
    expect(await client.line('GET k')).toBe(`-MOVED ${slotOfKey('k')} 127.0.0.1:7003|`);
    expect(await client.call('INFO', 'errorstats')).toContain('errorstat_MOVED:count=2');
  });

  test('a command waits for a leader and is served when this host wins', async () => {
    cluster.fake.setLeader(groupId, 0);
    expect(await pipeline('SET k v', 'GET k', 'PING')).toBe('');
    await cluster.clock.advance(500);
    expect(client.socket.take()).toBe('');
    cluster.fake.setLeader(groupId, 1);
    await cluster.clock.advance(50);
    expect(client.socket.take().replaceAll('\r\n', '|')).toBe('+OK|$1|v|+PONG|');
  });

  test('commands that waited are sent on when another host wins', async () => {
    cluster.fake.setLeader(groupId, 0);
    await pipeline('SET k v', 'GET k');
    cluster.fake.setLeader(groupId, 2);
    await cluster.clock.advance(50);
    const moved = `-MOVED ${slotOfKey('k')} 127.0.0.1:7002`;
    expect(client.socket.take().replaceAll('\r\n', '|')).toBe(`${moved}|${moved}|`);
  });

  test('without a leader for too long the answer is CLUSTERDOWN, and other groups are served', async () => {
    cluster.fake.setLeader(groupId, 0);
    await pipeline('SET k v', 'SET k w');
    const other = cluster.client(1);
    expect(await other.line('SET foo v')).toBe('+OK|');
    await cluster.clock.advance(1_900);
    expect(client.socket.take()).toBe('');
    await cluster.clock.advance(200);
    expect(client.socket.take()).toMatch(/^-CLUSTERDOWN .*\r\n-CLUSTERDOWN .*\r\n$/);
  });

  test('a write that lost its leader before it happened is sent on to the new one', async () => {
    cluster.fake.failProposals(groupId, 'DROPPED');
    client.send('SET', 'k', 'v');
    await settle();
    cluster.fake.setLeader(groupId, 2);
    await cluster.clock.advance(50);
    expect(client.socket.take()).toBe(`-MOVED ${slotOfKey('k')} 127.0.0.1:7002\r\n`);
  });

  test('a host that stays busy is answered for with TRYAGAIN', async () => {
    cluster.fake.failProposals(groupId, ...Array.from({ length: 1_000 }, () => 'BUSY' as const));
    client.send('SET', 'k', 'v');
    await cluster.clock.advance(2_100);
    expect(client.socket.take()).toMatch(/^-TRYAGAIN /);
  });

  test('a write with an unknown outcome says so and is not sent again', async () => {
    cluster.fake.failProposals(groupId, 'OUTCOME_UNKNOWN');
    expect(await client.line('INCR k')).toBe(
      '-UNKNOWN the write may or may not have happened (OUTCOME_UNKNOWN)|',
    );
    await cluster.clock.advance(3_000);
    expect(await client.line('GET k')).toBe('$-1|');
  });

  test('a command larger than a log entry is refused by name', async () => {
    cluster.fake.failProposals(groupId, 'ENTRY_TOO_LARGE');
    expect(await client.line('SET k v')).toMatch(/^-ERR .*larger/);
  });

  test('a read that failed is simply read again', async () => {
    await client.line('SET k v');
    cluster.fake.failReads(groupId, 'OUTCOME_UNKNOWN', 'NOT_LEADER');
    client.send('GET', 'k');
    await cluster.clock.advance(50);
    expect(client.socket.take()).toBe('$1\r\nv\r\n');
  });

  test('a READONLY connection reads the local replica of a follower', async () => {
    await client.line('SET k v');
    const reader = cluster.client(2);
    expect(await reader.line('GET k')).toMatch(/^-MOVED/);
    expect(await reader.line('READONLY')).toBe('+OK|');
    expect(await reader.line('GET k')).toBe('$1|v|');
    expect(await reader.line('SET k w')).toMatch(/^-MOVED/);
    expect(await reader.line('READWRITE')).toBe('+OK|');
    expect(await reader.line('GET k')).toMatch(/^-MOVED/);
  });

  test('commands sent before the cluster has a map wait for it, in order', async () => {
    const clock = new ManualClock();
    const fake = new FakeCluster(clock, [1, 2, 3]);
    fake.electsOnCampaign = false;
    const config = { host: fake.host(1), cluster: clusterConfig(3), listen: '127.0.0.1:0' };
    const node = await openKv(config);
    const early = new TestClient(node);
    early.session.onData(Buffer.from('APPEND k a\r\nAPPEND k b\r\nCLUSTER SLOTS\r\n'));
    await clock.advance(500);
    expect(early.socket.take()).toBe('');
    fake.setLeader(1, 1);
    for (let id = 2; id <= 4; id++) fake.setLeader(id, 1);
    await clock.advance(300);
    early.send('GET', 'k');
    await clock.advance(500);
    const noMap = '-CLUSTERDOWN the cluster has no shard map yet';
    expect(early.socket.take().replaceAll('\r\n', '|')).toBe(`:1|:2|${noMap}|$2|ab|`);
    await node.close();
  });
});

describe('bounds', () => {
  test('reading stops while too many commands are unanswered, and goes on after', async () => {
    cluster.fake.park(groupId);
    const many = Buffer.concat(Array.from({ length: 3_000 }, () => encode('INCR', 'k')));
    client.session.onData(many);
    await settle();
    expect(client.socket.isPaused).toBe(true);
    expect(client.session.unanswered).toBe(1_024);
    cluster.fake.release(groupId);
    for (let i = 0; i < 10; i++) await settle();
    expect(client.socket.isPaused).toBe(false);
    expect(client.socket.take().endsWith(':3000\r\n')).toBe(true);
  });

  test('a client that does not read gets no more replies laid out than the mark, and all once it reads', async () => {
    const value = 'v'.repeat(400_000);
    await client.call('SET', 'k', value);
    client.socket.isStuck = true;
    for (let i = 0; i < 20; i++) client.send('GET', 'k');
    await settle();
    expect(client.socket.writableLength).toBeLessThan(2_000_000);
    let bytes = client.socket.take().length;
    for (let i = 0; i < 20; i++) {
      client.socket.writableLength = 0;
      client.session.onDrain();
      bytes += client.socket.take().length;
    }
    expect(bytes).toBe(20 * (value.length + 11));
  });

  test('every command is answered: replies beyond the mark leave too where the socket takes all at once', async () => {
    const value = 'v'.repeat(400_000);
    await client.call('SET', 'k', value);
    const wanted = 20 * (value.length + 11);
    // A socket that took everything never calls onDrain().
    for (let i = 0; i < 20; i++) client.send('GET', 'k');
    let bytes = 0;
    for (let i = 0; i < 20 && bytes < wanted; i++) {
      await settle();
      bytes += client.socket.take().length;
    }
    expect(bytes).toBe(wanted);
    expect(client.session.unanswered).toBe(0);
  });

  test('a malformed stream gets an error and is closed after the replies before it', async () => {
    expect(await pipeline('SET k v', '*1', 'x')).toBe(
      "+OK|-ERR Protocol error: expected '$', got 'x'|",
    );
    expect(client.socket.isEnded).toBe(true);
  });

  test('a reply that would name a long value too often is refused', async () => {
    await client.call('SET', 'k', 'v'.repeat(1_000_000));
    const keys = Array.from({ length: 70 }, () => 'k');
    expect(await client.call('MGET', ...keys)).toMatch(/^-ERR the reply would be larger/);
  });

  test('a connection that goes away leaves its writes to finish and no trace', async () => {
    cluster.fake.park(groupId);
    await pipeline('SET k v', 'GET k', 'SET k w');
    client.close();
    cluster.fake.release(groupId);
    await settle();
    expect(client.socket.take()).toBe('');
    const next = cluster.client(1);
    expect(await next.line('GET k')).toBe('$1|v|');
    expect(cluster.node(1).counters()['internalFailures']).toBe(0);
  });

  test('a held connection that goes away is forgotten', async () => {
    cluster.fake.setLeader(groupId, 0);
    await pipeline('SET k v');
    client.close();
    cluster.fake.setLeader(groupId, 1);
    await cluster.clock.advance(100);
    expect(await cluster.client(1).line('GET k')).toBe('$-1|');
  });
});

test('replicas that applied the same log have the same hash', async () => {
  await pipeline('SET k v', 'APPEND k w', 'INCR foo', 'SET bar v PX 100', 'DEL k');
  const hashes = cluster.nodes.map((node) =>
    node
      .groupsStatus()
      .map((s) => s.stateHash)
      .join(),
  );
  expect(new Set(hashes).size).toBe(1);
});
