// A host whose log has a thread for its writes, on the real world.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createNodeWorld } from '@flotilla/io';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type ApplyBatch, Host, type HostOptions, type RaftGroup } from '../src/index.ts';

const commands = 600;
let folder = '';
let applied: string[] = [];
let lines: string[] = [];

const optionsOf = (more: Partial<HostOptions>): HostOptions => ({
  nodeId: 1,
  directory: join(folder, 'wal'),
  clusterId: new Uint8Array(16).fill(1),
  listen: '127.0.0.1:0',
  peers: [],
  // Left several times while the commands are written.
  segmentBytes: 512 << 10,
  entryBytesMax: 1024,
  electionMsMin: 50,
  electionMsMax: 100,
  heartbeatMs: 10,
  onInfo: (line) => lines.push(line),
  ...more,
});

async function until(condition: () => boolean, what: string): Promise<void> {
  const deadline = performance.now() + 20_000;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error(`never: ${what}`);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

/** The host's only group, once it leads and has applied what its log holds. */
async function lead(host: Host, create: boolean): Promise<RaftGroup> {
  applied = [];
  const apply = (batch: ApplyBatch): void => {
    for (let i = 0; i < batch.count; i++) {
      applied.push(Buffer.from(batch.payloadOf(i)).toString());
      batch.respond(i, applied.length);
    }
  };
  const members = create ? { members: [1] } : {};
  const group = await host.createGroup({ groupId: 1, ...members, stateMachine: { apply } });
  await until(() => group.isLeader, 'the only voter leads');
  return group;
}

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'flotilla-test-'));
  lines = [];
});
afterEach(() => rmSync(folder, { recursive: true }));

describe('a host with an I/O thread', () => {
  it('has all that was acknowledged when it is opened again, with the thread or without', async () => {
    const threaded = { syncMethod: 'direct', ioThread: true } as const;
    const first = await Host.open(optionsOf({ ...threaded, create: true }));
    const group = await lead(first, true);
    const expected: string[] = [];
    for (let i = 0; i < commands; i++) {
      const command = `${i} `.padEnd(900, '.');
      expected.push(command);
      await group.propose(Buffer.from(command));
    }
    expect(first.metrics()['walBytes']).toBeGreaterThan(512 << 10);
    await first.close();
    for (const how of [threaded, {}]) {
      const again = await Host.open(optionsOf(how));
      await lead(again, false);
      await until(() => applied.length === commands, 'all is applied');
      expect(applied).toEqual(expected);
      await again.close();
    }
    expect(lines.filter((line) => line.includes('thread'))).toEqual([]);
  });

  it('needs the direct method, and a world of its own', async () => {
    const problems = async (options: Partial<HostOptions>): Promise<unknown> =>
      Host.open(optionsOf({ ...options, create: true })).then(
        () => 'opened',
        (error: { code: string; details: { problems: string[] } }) => error.details.problems,
      );
    expect(await problems({ ioThread: true })).toEqual(["ioThread needs syncMethod 'direct'"]);
    const world = createNodeWorld();
    expect(await problems({ ioThread: true, syncMethod: 'direct', world })).toEqual([
      'ioThread is for the world that the host makes: leave one of ioThread and world out',
    ]);
  });
});
