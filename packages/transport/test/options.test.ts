import type { FlotillaError } from '@flotilla/io';
import { describe, expect, it } from 'vitest';
import { type HostOptions, openHost } from './hosts.ts';
import { open } from './memory-hosts.ts';
import { MemoryWorld } from './memory-world.ts';

function refusalOf(options: HostOptions): readonly string[] {
  const world = new MemoryWorld();
  let refusal: FlotillaError | null | undefined;
  openHost(world, options, (error) => {
    refusal = error;
  });
  expect(refusal).toBeUndefined(); // never from inside the call
  world.clock.run();
  if (refusal === null || refusal === undefined) return [];
  expect(refusal.code).toBe('CONFIG_INVALID');
  return refusal.details['problems'] as string[];
}

describe('openTransport', () => {
  it('refuses to listen where others can reach it, unless insecureNetwork says so (T1)', () => {
    for (const listen of ['0.0.0.0:1', '[::]:1', '10.1.2.3:1', 'example.org:1', '127.evil.org:1']) {
      const [problem, ...others] = refusalOf({ nodeId: 1, listen });
      expect(problem).toContain('not a loopback address');
      expect(others).toEqual([]);
      expect(refusalOf({ nodeId: 1, listen, insecureNetwork: true })).toEqual([]);
    }
    for (const listen of ['127.0.0.1:1', '127.9.9.9:1', '[::1]:1', 'localhost:1']) {
      expect(refusalOf({ nodeId: 1, listen })).toEqual([]);
    }
  });

  it('names everything that is wrong at once', () => {
    const problems = refusalOf({
      nodeId: 0,
      clusterId: new Uint8Array(15),
      instance: 2 ** 53,
      epoch: -1,
      listen: 'nowhere',
      entryBytesMax: 1000,
      frameBytesMax: 1000 + 65_535,
      halfOpenMax: 0,
    });
    expect(problems.map((problem) => problem.split(/[ :]/)[0])).toEqual([
      'nodeId',
      'instance',
      'epoch',
      'frameBytesMax',
      'halfOpenMax',
      'clusterId',
      'listen',
    ]);
  });

  it('refuses peers that cannot be: itself, no id, no instance', () => {
    const { transport } = open(new MemoryWorld(), { nodeId: 1 });
    const address = '127.0.0.1:1';
    for (const nodeId of [0, 1, -1, 1.5, 2 ** 53]) {
      expect(() => transport.addPeer({ nodeId, address, instance: 0 })).toThrow(RangeError);
    }
    expect(() => transport.addPeer({ nodeId: 2, address, instance: -1 })).toThrow(RangeError);
    expect(transport.peer(2)).toBeUndefined();
  });
});
