// What a host refuses before it opens anything.

import { FlotillaError } from '@flotilla/io';
import { describe, expect, it } from 'vitest';
import { type HostOptions, peerProblems, resolveNumbers } from '../src/options.ts';

const sound: HostOptions = {
  nodeId: 1,
  directory: '/nowhere',
  clusterId: new Uint8Array(16),
  listen: '127.0.0.1:0',
  peers: [
    { nodeId: 2, address: '127.0.0.2:7000', instance: 0 },
    { nodeId: 3, address: '[::1]:7000', instance: 2 ** 52 },
  ],
};

function problemsOf(options: Partial<HostOptions>): readonly string[] {
  try {
    resolveNumbers({ ...sound, ...options });
    return [];
  } catch (error) {
    const { code, details } = error as FlotillaError;
    expect(error).toBeInstanceOf(FlotillaError);
    expect(code).toBe('CONFIG_INVALID');
    return details['problems'] as readonly string[];
  }
}

describe('the options of a host', () => {
  it('are taken as they are where they make sense', () => {
    expect(problemsOf({})).toEqual([]);
  });

  it('are refused for a peer that cannot be, with every problem at once', () => {
    const peers = [
      { nodeId: 2, address: '127.0.0.2:7000', instance: -1 },
      { nodeId: 0, address: 'somewhere', instance: 0 },
      { nodeId: 2, address: '127.0.0.1:70000', instance: 0.5 },
    ];
    expect(problemsOf({ peers })).toEqual([
      'the instance of peer 2 must be an integer from 0 on, not -1',
      "a peer's nodeId must be from 1 to 2^32-1, not 0",
      'peer 0: address must be host:port, not "somewhere"',
      'the instance of peer 2 must be an integer from 0 on, not 0.5',
      'peer 2: address must be host:port, not "127.0.0.1:70000"',
      'nodeId 2 is there twice',
    ]);
  });

  it('name the address that cannot be one, whatever it looks like', () => {
    for (const address of ['', 'somewhere', '127.0.0.1', '127.0.0.1:70000', '::1:80', ' :1']) {
      expect(peerProblems({ nodeId: 2, address, instance: 0 }), address).toEqual([
        `peer 2: address must be host:port, not ${JSON.stringify(address)}`,
      ]);
    }
  });

  it('are refused for numbers out of their range, and for such as contradict each other', () => {
    const problems = problemsOf({ electionMsMin: 100, electionMsMax: 50, heartbeatMs: 0 });
    expect(problems).toEqual([
      'heartbeatMs must be an integer from 1 to 300000, not 0',
      'electionMsMax must be above electionMsMin',
    ]);
    expect(problemsOf({ ioThread: true })).toEqual(["ioThread needs syncMethod 'direct'"]);
  });
});
