// What does not belong here: garbage on both ports, a peer of another cluster, a second process on a directory, a wrong
// configuration, a store that is gone. Each is told clearly, nothing crashes, and nothing is lost.

import { randomBytes } from 'node:crypto';
import { chmodSync, cpSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { RespClient } from '../tools/flotilla/src/resp-client.ts';
import { TestCluster } from './support/cluster.ts';
import { eventually, within } from './support/eventually.ts';
import { hashesOf } from './support/log-image.ts';
import { killAll, mainPath, RunningProcess, runMain } from './support/processes.ts';

let cluster: TestCluster;
let client: RespClient;
/** Process ids by host, as they were at the beginning. */
let pids: readonly unknown[];

beforeAll(async () => {
  cluster = await TestCluster.start({ groups: 4 });
  client = cluster.client();
  pids = await pidsNow();
  for (let i = 0; i < 100; i++) await client.write(`kept:${i}`, ['SET', `kept:${i}`, `${i}`]);
});

afterAll(async () => {
  client?.close();
  await cluster?.dispose();
  await killAll();
});

async function hostStatus(id: number): Promise<Record<string, unknown>> {
  const reply = await client.ask(cluster.address(id), ['FLOTILLA', 'STATUS']);
  return JSON.parse(reply as string) as Record<string, unknown>;
}

async function pidsNow(): Promise<unknown[]> {
  const statuses = await Promise.all(cluster.ids.map(hostStatus));
  return statuses.map(({ pid }) => pid);
}

async function metric(id: number, name: string): Promise<number> {
  return ((await hostStatus(id))['metrics'] as Record<string, number>)[name] ?? 0;
}

/** The same processes still serve everything that was written before. */
async function expectUnharmed(): Promise<void> {
  expect(await pidsNow()).toEqual(pids);
  for (let i = 0; i < 100; i++) {
    expect(await client.read(`kept:${i}`, ['GET', `kept:${i}`])).toEqual({
      kind: 'ok',
      reply: `${i}`,
    });
  }
  const outcome = await client.write('fresh', ['SET', 'fresh', 'yes']);
  expect(outcome.kind).toBe('ok');
}

/** Sends bytes, then waits until the other side says something or closes; answers what it said. */
function poke(address: string, bytes: Uint8Array | string): Promise<string> {
  const [host = '', port = ''] = address.split(':');
  const answer = new Promise<string>((resolve) => {
    let said = '';
    const socket = connect(Number(port), host, () => socket.end(bytes));
    socket.on('data', (chunk: Buffer) => {
      said += chunk.toString('latin1');
    });
    socket.on('error', () => undefined);
    socket.on('close', () => resolve(said));
  });
  return within(answer, { what: `${address} answers garbage or closes`, deadlineMs: 20_000 });
}

describe('a running cluster', () => {
  it('answers malformed commands with an error and lives on', async () => {
    const [address = ''] = cluster.addresses;
    const malformed: readonly string[] = [
      '*1000000000\r\n',
      '*2\r\n$3\r\nGET\r\n$9999999999\r\n',
      '*2\r\n$3\r\nGET\r\n$-5\r\n',
      '*1\r\n:1\r\n',
      '*1\r\n$x\r\n',
      '*99999999999999999999\r\n',
      `GET "unbalanced\r\n`,
    ];
    for (const text of malformed) {
      expect(await poke(address, text), JSON.stringify(text)).toMatch(/^-ERR /);
    }
    // Half a command, and one without words, are nothing to answer.
    expect(await poke(address, '*2\r\n$3\r\nGET\r\n$3\r\nab')).toBe('');
    expect(await poke(address, '*-7\r\nPING\r\n')).toBe('+PONG\r\n');
    expect(await poke(address, 'NOSUCH\r\nPING\r\n')).toMatch(/^-ERR .*\r\n\+PONG\r\n$/);
    await expectUnharmed();
  });

  it('lives through random bytes on the port of clients', async () => {
    for (let i = 0; i < 50; i++) await poke(cluster.address(1), randomBytes(1 + i * 40));
    await poke(cluster.address(1), 'x'.repeat(1 << 20));
    await expectUnharmed();
  });

  it('closes peers that speak garbage, counts them, and lives on', async () => {
    const before = await metric(2, 'protocolViolations');
    const address = cluster.peerAddress(2);
    for (let i = 0; i < 20; i++) await poke(address, randomBytes(1 + i * 200));
    await poke(address, 'GET / HTTP/1.1\r\nhost: localhost\r\n\r\n');
    await poke(address, Buffer.alloc(1 << 20, 0xff));
    expect(await metric(2, 'protocolViolations')).toBeGreaterThan(before);
    await expectUnharmed();
  });

  it('refuses a peer of another cluster that dials its hosts by mistake', async () => {
    const stranger = await TestCluster.make({ hosts: 3, groups: 2 });
    try {
      stranger.edit((file) => {
        const hosts = file['hosts'] as { id: number; instance: number; peer: { dial: string } }[];
        for (const host of hosts) {
          if (host.id !== 1) host.peer.dial = cluster.peerAddress(host.id);
        }
      });
      const before = await metric(2, 'handshakesRejected');
      await stranger.startHost(1);
      await eventually(async () => (await metric(2, 'handshakesRejected')) > before, {
        what: 'the stranger is rejected',
      });
      const running = stranger.process(1);
      await eventually(() => /cluster/i.test(running.stderr), {
        what: 'the stranger tells its operator that it dials another cluster',
      });
      expect(await stranger.stop(1)).toEqual({ code: 0, signal: null });
      await expectUnharmed();
    } finally {
      await stranger.dispose();
    }
  });

  it('keeps its directory from a second process, which leaves with 78', async () => {
    const second = cluster.spawn(1);
    expect(await within(second.ended, { what: 'the second process leaves' })).toEqual({
      code: 78,
      signal: null,
    });
    expect(second.stderr).toContain('WAL_LOCKED');
    expect(second.stderr).toContain('open in another process');
    await expectUnharmed();
  });

  it('keeps its ports from a second start, which leaves with 78 and says what to do', async () => {
    const second = await runMain(['start', '--data', cluster.data]);
    expect(second.end).toEqual({ code: 78, signal: null });
    expect(second.stderr).toContain(`${cluster.address(1)} is in use`);
    await expectUnharmed();
  });

  it('shows hosts and groups in its status', async () => {
    const asked = await runMain(['status', '--port', String(cluster.port), '--json']);
    expect(asked.end?.code).toBe(0);
    const status = JSON.parse(asked.stdout) as {
      hosts: Record<string, unknown>[];
      groups: Record<string, unknown>[];
    };
    expect(status.hosts.map(({ id, up, resp, peer }) => ({ id, up, resp, peer }))).toEqual(
      cluster.ids.map((id) => ({
        id,
        up: true,
        resp: cluster.address(id),
        peer: cluster.peerAddress(id),
      })),
    );
    expect(status.hosts.map(({ pid }) => pid)).toEqual(pids);
    expect(status.groups).toHaveLength(5);
    for (const group of status.groups) {
      expect(group['members']).toEqual([...cluster.ids]);
      expect(group['commitIndex']).toBeGreaterThan(0);
    }
    expect((await runMain(['status', '--port', '1'])).end?.code).toBe(1);
  });
});

describe('a host that cannot start', () => {
  let spare: TestCluster;
  beforeAll(async () => {
    spare = await TestCluster.make({ groups: 2 });
  });
  afterAll(() => spare?.dispose());

  async function refusal(id = 1): Promise<string> {
    const host = spare.spawn(id);
    const end = await within(host.ended, { what: 'the refusal' });
    expect(end, host.stderr).toEqual({ code: 78, signal: null });
    expect(host.events()).toMatchObject([{ event: 'refused', exitCode: 78 }]);
    return host.stderr;
  }

  it('names every problem of its configuration, unknown fields included', async () => {
    let saved: unknown;
    spare.edit((file) => {
      saved = structuredClone(file);
      const hosts = file['hosts'] as Record<string, unknown>[];
      file['groops'] = 4;
      file['groups'] = 0;
      (file['options'] as Record<string, unknown>)['electonMsMin'] = 5;
      (file['options'] as Record<string, unknown>)['heartbeatMs'] = 'fast';
      Object.assign(hosts[1] as object, { id: 1, resp: { listen: 'nowhere' } });
      (hosts[2] as { peer: { listen: string } }).peer.listen = '0.0.0.0:17003';
    });
    const text = await refusal();
    expect(text).toContain('CONFIG_INVALID');
    expect(text).toContain('groops is not known');
    expect(text).toContain('groups must be an integer from 1 to 16384, not 0');
    expect(text).toContain('options.electonMsMin is not known');
    expect(text).toContain('options.heartbeatMs must be an integer');
    expect(text).toContain('two hosts have the same id, 1');
    expect(text).toContain('hosts[1].resp.listen must be host:port, not "nowhere"');
    expect(text).toContain('hosts[1].resp.announce is missing');
    expect(text).toContain('hosts[2].peer.listen 0.0.0.0:17003 is not a loopback address');
    spare.edit((file) => Object.assign(file, { groops: undefined }, saved));
  });

  it('refuses a file that is no JSON, no file, and an id that is not of the cluster', async () => {
    expect(await refusal(9)).toContain('no host has the id 9, the ids are 1, 2, 3');
    const folder = join(spare.directory, 'elsewhere');
    mkdirSync(folder);
    const missing = await runMain(['host', '--data', folder, '--id', '1']);
    expect(missing.end?.code).toBe(78);
    expect(missing.stderr).toContain('cannot be read (ENOENT)');
    writeFileSync(join(folder, 'cluster.json'), '{ "version": 1');
    const broken = await runMain(['host', '--data', folder, '--id', '1']);
    expect(broken.end?.code).toBe(78);
    expect(broken.stderr).toContain('is not JSON');
  });

  it('refuses a directory of another instance', async () => {
    spare.edit((file) => {
      const hosts = file['hosts'] as { instance: number }[];
      (hosts[0] as { instance: number }).instance += 1;
    });
    const before = hashesOf(spare.walDirectory(1));
    expect(await refusal()).toContain('IDENTITY_MISMATCH');
    expect(hashesOf(spare.walDirectory(1))).toEqual(before);
    spare.edit((file) => {
      const hosts = file['hosts'] as { instance: number }[];
      (hosts[0] as { instance: number }).instance -= 1;
    });
  });

  it('refuses a port that somebody else listens on', async () => {
    const port = spare.port;
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
    try {
      const text = await refusal();
      expect(text).toContain('IO_REFUSED');
      expect(text).toContain(spare.address(1));
    } finally {
      await new Promise((resolve) => server.close(resolve));
    }
  });

  it('refuses to begin anew where its store is gone', async () => {
    rmSync(spare.walDirectory(3), { recursive: true });
    expect(await refusal(3)).toContain('WAL_ABSENT');
    mkdirSync(spare.walDirectory(3));
    expect(await refusal(3)).toContain('WAL_ABSENT');
    expect(readdirSync(spare.walDirectory(3))).toEqual([]);
  });

  it('tells of folders that other users can read, and starts', async () => {
    chmodSync(join(spare.data, 'cluster.json'), 0o644);
    await spare.startHost(1);
    expect(spare.process(1).stderr).toMatch(/other users .*cluster\.json \(mode 0644\)/);
    expect(await spare.stop(1)).toEqual({ code: 0, signal: null });
  });
});

describe('a copied data directory', () => {
  it('is told apart from the original, which goes on', async () => {
    const original = await TestCluster.start({ groups: 2 });
    const copy = await TestCluster.make({ groups: 2 });
    try {
      const writer = original.client();
      expect((await writer.write('k', ['SET', 'k', 'v'])).kind).toBe('ok');
      await original.stop(1);
      rmSync(copy.data, { recursive: true });
      cpSync(original.data, copy.data, { recursive: true });
      // The copy of host 1 has ports of its own, and dials the others as the original does.
      copy.edit((file) => {
        const [host] = file['hosts'] as Record<string, object>[];
        Object.assign(host as object, {
          peer: { listen: copy.peerAddress(1), dial: copy.peerAddress(1) },
          resp: { listen: copy.address(1), announce: copy.address(1) },
          metrics: null,
        });
      });
      // Opened twice since it was copied: the copy is one opening behind.
      await original.startHost(1);
      await original.stop(1);
      await original.startHost(1);
      await original.whenServed();
      await copy.startHost(1);
      await eventually(() => /duplicate/.test(original.process(2).stderr), {
        what: 'host 2 tells of a duplicate',
      });
      await eventually(() => /duplicate/.test(copy.process(1).stderr), {
        what: 'the copy is told why it is refused',
      });
      expect((await writer.write('k', ['SET', 'k', 'w'])).kind).toBe('ok');
      expect(await writer.read('k', ['GET', 'k'])).toEqual({ kind: 'ok', reply: 'w' });
      writer.close();
    } finally {
      await copy.dispose();
      await original.dispose();
    }
  });
});

describe('the command line', () => {
  it('answers wrong words with 64 and how to do it right', async () => {
    for (const args of [
      ['nonsense'],
      ['init'],
      ['host', '--data', 'x'],
      ['status', '--prot', '1'],
    ]) {
      const ended = await runMain(args);
      expect(ended.end?.code, args.join(' ')).toBe(64);
      expect(ended.stderr).not.toBe('');
    }
  });

  it('makes a new cluster only in an empty folder', async () => {
    const ended = await runMain(['init', '--data', cluster.data]);
    expect(ended.end?.code).toBe(78);
    expect(ended.stderr).toContain('is not empty');
  });

  it('stops a host whose parent has gone', async () => {
    const spare = await TestCluster.make({ groups: 2 });
    try {
      const args = [mainPath, 'host', '--data', spare.data, '--id', '1', '--json', '--parent'];
      const host = new RunningProcess(process.execPath, args);
      await host.event('ready');
      host.child.stdin?.end();
      const end = await within(host.ended, { what: 'the host stops by itself' });
      expect(end).toEqual({ code: 0, signal: null });
    } finally {
      await spare.dispose();
    }
  });
});
