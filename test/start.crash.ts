// The command behind `npm start`: a cluster that outlives the death of its hosts, continues where it was, and leaves no
// process behind, however it ends itself.

import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { findBasePort } from '../tools/flotilla/src/free-ports.ts';
import { RespClient } from '../tools/flotilla/src/resp-client.ts';
import { type ClusterStatus, fetchStatus } from '../tools/flotilla/src/status.ts';
import { eventually, within } from './support/eventually.ts';
import { flipByte } from './support/log-image.ts';
import { killAll, mainPath, RunningProcess, runMain } from './support/processes.ts';

let directory: string;
let data: string;
let port: number;
let client: RespClient | null;

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'flotilla-start-'));
  data = join(directory, 'data');
  port = await findBasePort(3);
  client = null;
});

afterEach(async () => {
  client?.close();
  await killAll();
  await eventually(() => hostsOf(data).length === 0, { what: 'no host is left behind' });
  rmSync(directory, { recursive: true, force: true });
});

function start(...args: string[]): RunningProcess {
  const words = [mainPath, 'start', '--data', data, ...args];
  return new RunningProcess(process.execPath, words);
}

const startNew = (): RunningProcess => start('--port', String(port), '--groups', '4');

/** Numbers of processes whose command line names this test's data folder as a host's. */
function hostsOf(folder: string): number[] {
  const { stdout } = spawnSync('ps', ['-ww', '-eo', 'pid=,args='], { encoding: 'utf8' });
  return stdout
    .split('\n')
    .filter((line) => line.includes(` host --data ${folder} `))
    .map((line) => Number.parseInt(line, 10));
}

function served(): Promise<ClusterStatus> {
  return eventually(
    async () => {
      const status = await fetchStatus(`127.0.0.1:${port}`);
      const isWhole =
        status?.groups.length === 5 &&
        status.groups.every(({ leader }) => leader !== 0) &&
        status.hosts.every(({ up }) => up);
      return isWhole ? status : null;
    },
    { what: 'the cluster serves', deadlineMs: 60_000 },
  );
}

function newClient(): RespClient {
  client ??= new RespClient({ seeds: [0, 1, 2].map((i) => `127.0.0.1:${port + i}`) });
  return client;
}

describe('start', () => {
  it('makes a cluster, starts a killed host again, stops on Ctrl-C, and continues on the same data', async () => {
    const first = startNew();
    const before = await served();
    expect(first.stdout).toContain(`redis-cli -c -p ${port}`);
    for (let i = 0; i < 200; i++) {
      expect((await newClient().write(`k${i}`, ['SET', `k${i}`, `v${i}`])).kind).toBe('ok');
    }
    const victim = before.hosts[1]?.pid as number;
    process.kill(victim, 'SIGKILL');
    await eventually(() => /host 2 died/.test(first.stdout), { what: 'the death is told' });
    const after = await served();
    expect(after.hosts[1]?.pid).not.toBe(victim);
    expect(after.hosts[0]?.pid).toBe(before.hosts[0]?.pid);
    first.child.kill('SIGINT');
    expect(await within(first.ended, { what: 'start stops' })).toEqual({ code: 0, signal: null });
    expect(hostsOf(data)).toEqual([]);

    const second = start();
    await served();
    for (let i = 0; i < 200; i++) {
      const found = await newClient().read(`k${i}`, ['GET', `k${i}`]);
      expect(found).toEqual({ kind: 'ok', reply: `v${i}` });
    }
    second.child.kill('SIGTERM');
    expect(await within(second.ended, { what: 'start stops' })).toEqual({ code: 0, signal: null });
  });

  it('takes its hosts with it when it is killed itself', async () => {
    const running = startNew();
    await served();
    expect(hostsOf(data)).toHaveLength(3);
    running.child.kill('SIGKILL');
    await running.ended;
    await eventually(() => hostsOf(data).length === 0, { what: 'the hosts stop by themselves' });
    const again = start();
    await served();
    again.child.kill('SIGINT');
    expect((await again.ended).code).toBe(0);
  });

  it('goes on without a host that refuses, and says why; with no majority left it ends with 78', async () => {
    const first = startNew();
    await served();
    first.child.kill('SIGINT');
    await first.ended;
    // Page 1 of the first segment is the first batch; it was acknowledged.
    const segment = (id: number): string => join(data, `host-${id}/wal/0000000000000001.seg`);
    flipByte(segment(2), 4096 + 70, 0x10);
    const second = start();
    await eventually(() => /host 2 refuses to start: .*WAL_CORRUPT/s.test(second.stdout), {
      what: 'the refusal is told',
    });
    await eventually(async () => (await newClient().write('k', ['SET', 'k', 'v'])).kind === 'ok', {
      what: 'two of three hosts serve',
    });
    expect(hostsOf(data)).toHaveLength(2);
    second.child.kill('SIGINT');
    expect((await second.ended).code).toBe(0);

    flipByte(segment(3), 4096 + 70, 0x10);
    const third = start();
    expect(await within(third.ended, { what: 'start gives up' })).toEqual({
      code: 78,
      signal: null,
    });
    expect(third.stderr).toContain('host 2 refuses');
    expect(third.stderr).toContain('host 3 refuses');
    expect(hostsOf(data)).toEqual([]);
  });

  it('refuses a taken port before it starts anything', async () => {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(port + 1, '127.0.0.1', resolve));
    try {
      const refused = startNew();
      expect((await within(refused.ended, { what: 'the refusal' })).code).toBe(78);
      expect(refused.stderr).toContain(`127.0.0.1:${port + 1} is in use`);
    } finally {
      await new Promise((resolve) => server.close(resolve));
    }
  });

  it('refuses to start another cluster than the one that is there', async () => {
    const made = await runMain(['init', '--data', data, '--port', String(port), '--hosts', '3']);
    expect(made.end?.code).toBe(0);
    const refused = start('--hosts', '5', '--port', '7001');
    expect((await within(refused.ended, { what: 'the refusal' })).code).toBe(78);
    expect(refused.stderr).toContain('--hosts 5 was asked for, but');
    expect(refused.stderr).toContain('--port 7001 was asked for, but');
  });

  it('checks itself with --smoke: 10,000 writes, a killed host, everything there', async () => {
    const smoke = await runMain(['start', '--smoke']);
    expect(smoke.end?.code, smoke.stderr).toBe(0);
    expect(smoke.stdout).toMatch(/10000 writes acknowledged .* none lost, none stale/);
  });
});
