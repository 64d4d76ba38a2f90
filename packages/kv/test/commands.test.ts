// What clients read for what they send, as tables: a line of words, the reply with `\r\n` shown as `|`.

import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { nodeHexOf } from '../src/index.ts';
import { startCluster, type TestClient, type TestCluster } from './harness.ts';

let cluster: TestCluster;
let client: TestClient;

beforeEach(async () => {
  cluster = await startCluster();
  cluster.leadAll(1);
  client = cluster.client(1);
});
afterEach(() => cluster.close());

async function check(rows: readonly (readonly [line: string, reply: string])[]): Promise<void> {
  for (const [line, reply] of rows) expect([line, await client.line(line)]).toEqual([line, reply]);
}

const notInteger = '-ERR value is not an integer or out of range|';
const syntax = '-ERR syntax error|';

describe('data', () => {
  test('SET and GET with their options', () =>
    check([
      ['GET k', '$-1|'],
      ['SET k v', '+OK|'],
      ['get k', '$1|v|'],
      ['SET k w NX', '$-1|'],
      ['SET k w XX', '+OK|'],
      ['SET fresh w XX', '$-1|'],
      ['SET k x GET', '$1|w|'],
      ['SET fresh x GET NX', '$-1|'],
      ['SET fresh y GET NX', '$1|x|'],
      ['GET fresh', '$1|x|'],
      ['SET k v NX XX', syntax],
      ['SET k v EX', syntax],
      ['SET k v EX 1 PX 1', syntax],
      ['SET k v EX 1 KEEPTTL', syntax],
      ['SET k v NOPE', syntax],
      ['SET k v EX 0', "-ERR invalid expire time in 'set' command|"],
      ['SET k v PX -5', "-ERR invalid expire time in 'set' command|"],
      ['SET k v EX 9223372036854775807', "-ERR invalid expire time in 'set' command|"],
      ['SET k v EX abc', notInteger],
      ['SET k', "-ERR wrong number of arguments for 'set' command|"],
      ['GETSET k z', '$1|x|'],
      ['GETDEL k', '$1|z|'],
      ['GETDEL k', '$-1|'],
      ['SETEX k 10 v', '+OK|'],
      ['TTL k', ':10|'],
      ['PSETEX k 0 v', "-ERR invalid expire time in 'psetex' command|"],
    ]));

  test('several keys of one slot', () =>
    check([
      ['MSET {a}1 x {a}2 y', '+OK|'],
      ['MGET {a}1 {a}2 {a}3', '*3|$1|x|$1|y|$-1|'],
      ['EXISTS {a}1 {a}1 {a}9', ':2|'],
      ['DEL {a}1 {a}9', ':1|'],
      ['UNLINK {a}2', ':1|'],
      ['MSET {a}1 x {a}2', "-ERR wrong number of arguments for 'mset' command|"],
      ['MGET a b', "-CROSSSLOT Keys in request don't hash to the same slot|"],
      ['MSET a 1 b 2', "-CROSSSLOT Keys in request don't hash to the same slot|"],
    ]));

  test('integers are 64 bits wide', () =>
    check([
      ['INCR n', ':1|'],
      ['INCRBY n 41', ':42|'],
      ['DECR n', ':41|'],
      ['DECRBY n 41', ':0|'],
      ['DECRBY n -5', ':5|'],
      ['INCRBY n 1.5', notInteger],
      ['INCRBY n +1', notInteger],
      ['INCRBY n 01', notInteger],
      ['SET n 9007199254740993', '+OK|'],
      ['INCR n', ':9007199254740994|'],
      ['GET n', '$16|9007199254740994|'],
      ['SET n 9223372036854775807', '+OK|'],
      ['INCR n', '-ERR increment or decrement would overflow|'],
      ['DECR n', ':9223372036854775806|'],
      ['DECRBY n -9223372036854775808', '-ERR decrement would overflow|'],
      ['SET n 9223372036854775808', '+OK|'],
      ['INCR n', notInteger],
      ['SET n abc', '+OK|'],
      ['INCR n', notInteger],
      ['SET n ""', '+OK|'],
      ['INCR n', notInteger],
    ]));

  test('APPEND, STRLEN and TYPE', () =>
    check([
      ['APPEND k abc', ':3|'],
      ['APPEND k de', ':5|'],
      ['GET k', '$5|abcde|'],
      ['STRLEN k', ':5|'],
      ['STRLEN none', ':0|'],
      ['TYPE k', '+string|'],
      ['TYPE none', '+none|'],
    ]));

  test('expiry follows the clock and is committed before nil is answered', async () => {
    await check([
      ['SET k v PX 500', '+OK|'],
      ['PTTL k', ':500|'],
      ['SET k w KEEPTTL', '+OK|'],
      ['PTTL k', ':500|'],
    ]);
    await cluster.clock.advance(499);
    await check([['GET k', '$1|w|']]);
    const groupId = cluster.node(1).keeper.machine.groupIdOfSlot(7_629);
    const before = cluster.fake.state(groupId).log.length;
    await cluster.clock.advance(1);
    await check([['GET k', '$-1|']]);
    expect(cluster.fake.state(groupId).log.length).toBe(before + 1);
    await check([
      ['TTL k', ':-2|'],
      ['SET k v', '+OK|'],
      ['TTL k', ':-1|'],
    ]);
    expect(cluster.fake.state(groupId).log.length).toBe(before + 2);
  });

  test('EXPIRE and its conditions', () =>
    check([
      ['EXPIRE k 10', ':0|'],
      ['SET k v', '+OK|'],
      ['EXPIRE k 10 XX', ':0|'],
      ['EXPIRE k 10 GT', ':0|'],
      ['EXPIRE k 10 NX', ':1|'],
      ['EXPIRE k 20 NX', ':0|'],
      ['EXPIRE k 5 GT', ':0|'],
      ['EXPIRE k 5 LT', ':1|'],
      ['TTL k', ':5|'],
      ['PEXPIRE k 7000', ':1|'],
      ['PTTL k', ':7000|'],
      ['EXPIRE k 1 NX XX', '-ERR NX and XX, GT or LT options at the same time are not compatible|'],
      ['EXPIRE k 1 GT LT', '-ERR GT and LT options at the same time are not compatible|'],
      ['EXPIRE k 1 ZZ', '-ERR Unsupported option ZZ|'],
      ['EXPIRE k x', notInteger],
      ['EXPIRE k 9223372036854775807', "-ERR invalid expire time in 'expire' command|"],
      ['PERSIST k', ':1|'],
      ['PERSIST k', ':0|'],
      ['EXPIRE k -1', ':1|'],
      ['EXISTS k', ':0|'],
    ]));

  test('a later leader with a slower clock does not bring an expired key back', async () => {
    await check([['SET k v PX 500', '+OK|']]);
    await cluster.clock.advance(600);
    await check([['GET k', '$-1|']]);
    cluster.leadAll(2);
    cluster.clock.wallOffsetMs -= 60_000;
    client = cluster.client(2);
    await check([['GET k', '$-1|']]);
  });

  test('expired keys that nobody asks for are removed in time, on all replicas', async () => {
    await check([['SET k v PX 500', '+OK|']]);
    await cluster.clock.advance(3_000);
    for (const node of cluster.nodes) {
      const keys = node.groupsStatus().map((status) => status.keys);
      expect(Math.max(...keys)).toBe(0);
    }
  });

  test('SCAN meets every key that is there all the time, whatever comes and goes', async () => {
    for (let i = 0; i < 200; i++) await client.line(`SET key${i} v`);
    const met = new Set<string>();
    let cursor = '0';
    let calls = 0;
    do {
      const reply = await client.line(`SCAN ${cursor} COUNT 7 MATCH key*`);
      const [, , next, , ...rest] = reply.split('|');
      cursor = next as string;
      rest.forEach((word, i) => {
        if (i % 2 === 1 || word.startsWith('key')) met.add(word);
      });
      await client.line(`DEL key${100 + (calls % 100)}`);
      await client.line(`SET new${calls++} v`);
    } while (cursor !== '0' && calls < 1_000);
    for (let i = 0; i < 100; i++) expect(met.has(`key${i}`)).toBe(true);
    await check([
      ['SCAN x', '-ERR invalid cursor|'],
      ['SCAN 0 COUNT 0', syntax],
      ['SCAN 0 COUNT', syntax],
      ['SCAN 0 TYPE list', '*2|$1|0|*0|'],
    ]);
  });
});

describe('connection', () => {
  test('simple commands', () =>
    check([
      ['PING', '+PONG|'],
      ['PING hey', '$3|hey|'],
      ['PING a b', "-ERR wrong number of arguments for 'ping' command|"],
      ['ECHO "a b"', '$3|a b|'],
      ['SELECT 0', '+OK|'],
      ['SELECT 1', '-ERR SELECT is not allowed in cluster mode|'],
      ['SELECT x', notInteger],
      ['CLIENT SETNAME me', '+OK|'],
      ['CLIENT GETNAME', '$2|me|'],
      [
        'CLIENT SETNAME "a b"',
        '-ERR Client names cannot contain spaces, newlines or special characters.|',
      ],
      ['CLIENT SETINFO LIB-NAME lib', '+OK|'],
      ['CLIENT SETINFO LIB-SIZE 1', "-ERR Unrecognized option 'LIB-SIZE'|"],
      [
        'CLIENT MAINT_NOTIFICATIONS ON',
        "-ERR unknown subcommand or wrong number of arguments for 'MAINT_NOTIFICATIONS'. Try CLIENT HELP.|",
      ],
      ['CONFIG GET save', '*2|$4|save|$0||'],
      ['CONFIG GET appendonly nosuch', '*2|$10|appendonly|$3|yes|'],
      ['COMMAND DOCS', '*0|'],
      ['COMMAND INFO get nosuch', '*2|*10|$3|get|:2|*1|+readonly|:1|:1|:1|*0|*0|*0|*0|$-1|'],
      ['READONLY', '+OK|'],
      ['READWRITE', '+OK|'],
      ['ASKING', '+OK|'],
      ['RESET', '+RESET|'],
      ['CLIENT GETNAME', '$-1|'],
      ['HELLO 4', '-NOPROTO unsupported protocol version|'],
      ['HELLO x', '-ERR Protocol version is not an integer or out of range|'],
      ['NOSUCH a', "-ERR unknown command 'NOSUCH', with args beginning with: 'a' |"],
      ['g\x05t', "-ERR unknown command 'g?t', with args beginning with: |"],
    ]));

  test('HELLO 3 switches the protocol for what follows, not for what came before', async () => {
    client.send('GET', 'none');
    client.send('HELLO', '3', 'SETNAME', 'me');
    client.send('GET', 'none');
    const reply = await client.call('CLIENT', 'GETNAME');
    expect(reply.startsWith('$-1\r\n%7\r\n$6\r\nserver\r\n')).toBe(true);
    expect(reply.endsWith('_\r\n$2\r\nme\r\n')).toBe(true);
    await check([['HELLO 3 AUTH a b', expect.stringMatching(/^-ERR AUTH/) as unknown as string]]);
  });

  test('QUIT answers and closes, and nothing after it is looked at', async () => {
    client.session.onData(Buffer.from('SET k v\r\nQUIT\r\nSET k w\r\n'));
    expect(await client.line('PING')).toBe('+OK|+OK|');
    expect(client.socket.isEnded).toBe(true);
    client = cluster.client(1);
    await check([['GET k', '$1|v|']]);
  });

  test('INFO has the lines that tools look for', async () => {
    await client.line('SET k v');
    await client.line('GET a b');
    const info = await client.call('INFO');
    for (const line of [
      'redis_mode:cluster',
      'cluster_enabled:1',
      'role:master',
      'flotilla_writes_applied:1',
      'errorstat_ERR:count=1',
      'db0:keys=1,expires=0,avg_ttl=0',
      'connected_clients:1',
    ]) {
      expect(info).toContain(`\r\n${line}\r\n`);
    }
    expect(await client.call('INFO', 'keyspace')).not.toContain('redis_mode');
    await check([['DBSIZE', ':1|']]);
    expect(await client.call('CLIENT', 'LIST')).toContain('addr=test:1');
  });
});

describe('cluster', () => {
  test('small answers', () =>
    check([
      ['CLUSTER KEYSLOT foo', ':12182|'],
      ['CLUSTER MYID', `$40|${nodeHexOf('test-cluster', 1)}|`],
      ['SET foo v', '+OK|'],
      ['CLUSTER COUNTKEYSINSLOT 12182', ':1|'],
      ['CLUSTER COUNTKEYSINSLOT 99999', '-ERR Invalid slot|'],
      [
        'CLUSTER NOSUCH',
        "-ERR unknown subcommand or wrong number of arguments for 'NOSUCH'. Try CLUSTER HELP.|",
      ],
    ]));

  test('NODES has a line of eight fields and slots for each host, and differs between hosts by `myself` only', async () => {
    const texts: string[] = [];
    for (const id of [1, 2, 3]) {
      const reply = await cluster.client(id).call('CLUSTER', 'NODES');
      const text = reply.slice(reply.indexOf('\r\n') + 2, -2);
      expect(text.endsWith('\n')).toBe(true);
      const lines = text.slice(0, -1).split('\n');
      expect(lines).toHaveLength(3);
      expect(lines[id - 1]).toContain(' myself,master - 0 0 1 connected ');
      for (const line of lines) expect(line.split(' ').length).toBeGreaterThan(8);
      texts.push(text.replace('myself,', ''));
    }
    expect(new Set(texts).size).toBe(1);
    const first = nodeHexOf('test-cluster', 1);
    expect(texts[0]).toContain(`${first} 127.0.0.1:7001@17001 master - 0 0 1 connected 0-5460\n`);
  });

  test('SLOTS, SHARDS and INFO tell the same placement', async () => {
    const slots = await client.line('CLUSTER SLOTS');
    expect(slots.startsWith(`*3|*3|:0|:5460|*3|$9|127.0.0.1|:7001|$40|`)).toBe(true);
    expect(await client.line('CLUSTER SHARDS')).toContain('$5|slots|*2|:0|:5460|$5|nodes|*1|');
    const info = await client.line('CLUSTER INFO');
    expect(info).toContain('cluster_state:ok|');
    expect(info).toContain('cluster_size:3|');
  });
});
