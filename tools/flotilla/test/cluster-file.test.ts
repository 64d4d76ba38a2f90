import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { FlotillaError } from '@flotilla/io';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  type ClusterFile,
  checkCluster,
  hostOf,
  newCluster,
  readClusterFile,
  writeClusterFile,
} from '../src/cluster-file.ts';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'flotilla-cluster-file-'));
});
afterEach(() => rmSync(directory, { recursive: true }));

function problemsOf(action: () => unknown): readonly string[] {
  try {
    action();
  } catch (error) {
    expect(error).toBeInstanceOf(FlotillaError);
    expect((error as FlotillaError).code).toBe('CONFIG_INVALID');
    return (error as FlotillaError).details['problems'] as string[];
  }
  return [];
}

const shape = { hosts: 3, groups: 64, port: 7001 };
/** A copy that a test may spoil. */
const spoiled = (change: (file: Record<string, unknown>) => void): unknown => {
  const file = structuredClone(newCluster(shape)) as unknown as Record<string, unknown>;
  change(file);
  return file;
};

describe('a new cluster', () => {
  it('has hosts on ports that follow each other and election time-outs of half a second', () => {
    const { hosts, groups, options } = newCluster(shape);
    expect(hosts.map(({ id }) => id)).toEqual([1, 2, 3]);
    expect(hosts[1]).toMatchObject({
      peer: { listen: '127.0.0.1:17002', dial: '127.0.0.1:17002' },
      resp: { listen: '127.0.0.1:7002', announce: '127.0.0.1:7002' },
      metrics: { listen: '127.0.0.1:9002' },
    });
    expect(groups).toBe(64);
    expect(options).toMatchObject({ electionMsMin: 500, electionMsMax: 1000, redirect: 'moved' });
  });

  it('draws identities that no two clusters or hosts share', () => {
    const files = Array.from({ length: 20 }, () => newCluster(shape));
    expect(new Set(files.map(({ clusterId }) => clusterId)).size).toBe(20);
    const instances = files.flatMap(({ hosts }) => hosts.map(({ instance }) => instance));
    expect(new Set(instances).size).toBe(60);
    expect(instances.every((each) => Number.isSafeInteger(each) && each > 0)).toBe(true);
  });

  it('refuses numbers that cannot work, all at once', () => {
    const problems = problemsOf(() => newCluster({ hosts: 0, groups: 20_000, port: 60_000 }));
    expect(problems).toEqual([
      'hosts must be an integer from 1 to 31, not 0',
      'groups must be an integer from 1 to 16384, not 20000',
      'port must be an integer from 1 to 55504, not 60000',
    ]);
  });
});

describe('cluster.json', () => {
  it('is read as it was written, by its owner alone', () => {
    const file = newCluster(shape);
    writeClusterFile(directory, file);
    expect(readClusterFile(directory)).toEqual(file);
    expect(statSync(join(directory, 'cluster.json')).mode & 0o777).toBe(0o600);
  });

  it('gets defaults where options, metrics and labels are left out', () => {
    const file = checkCluster(
      spoiled((each) => {
        delete each['options'];
        for (const host of each['hosts'] as Record<string, unknown>[]) {
          delete host['metrics'];
          delete host['labels'];
        }
      }),
      'test',
    );
    expect(file.options).toEqual({
      redirect: 'moved',
      suspectTail: 'refuse',
      syncMethod: 'fdatasync',
      ioThread: false,
      insecureNetwork: false,
    });
    expect(file.hosts.map(({ metrics, labels }) => [metrics, labels])).toEqual([
      [null, {}],
      [null, {}],
      [null, {}],
    ]);
  });

  it.each<[string, (file: Record<string, unknown>) => void, string[]]>([
    ['another version', (file) => void (file['version'] = 2), ['version must be 1, not 2']],
    [
      'a cluster id of the wrong form',
      (file) => void (file['clusterId'] = 'ABC'),
      ['clusterId must be 32 hexadecimal digits in lower case'],
    ],
    ['no hosts', (file) => void (file['hosts'] = []), ['hosts must be a list of 1 to 31 hosts']],
    ['a field that is missing', (file) => void delete file['groups'], ['groups is missing']],
    [
      'an unknown option that an object inherits',
      (file) => void ((file['options'] as Record<string, unknown>)['toString'] = 1),
      ['options.toString is not known'],
    ],
    [
      'a way of redirecting that there is not',
      (file) => void ((file['options'] as Record<string, unknown>)['redirect'] = 'proxy'),
      ['options.redirect must be moved, not "proxy"'],
    ],
    [
      'a way of syncing that keeps nothing',
      (file) => void ((file['options'] as Record<string, unknown>)['syncMethod'] = 'none'),
      ['options.syncMethod must be fdatasync or dsync or direct, not "none"'],
    ],
    [
      'an I/O thread without direct writes',
      (file) => void ((file['options'] as Record<string, unknown>)['ioThread'] = true),
      ['options.ioThread needs options.syncMethod "direct"'],
    ],
    [
      'two hosts on one address',
      (file) => {
        const hosts = file['hosts'] as { resp: unknown }[];
        (hosts[0] as { resp: unknown }).resp = hosts[1]?.resp;
      },
      ['two hosts have the same resp.announce, "127.0.0.1:7002"'],
    ],
    [
      'an open door to other machines',
      (file) => {
        const [host] = file['hosts'] as { resp: { listen: string } }[];
        if (host !== undefined) host.resp.listen = '10.0.0.1:7001';
      },
      [
        'hosts[0].resp.listen 10.0.0.1:7001 is not a loopback address; options.insecureNetwork would allow it',
      ],
    ],
  ])('is refused for %s', (_what, change, problems) => {
    expect(problemsOf(() => checkCluster(spoiled(change), 'test'))).toEqual(problems);
  });

  it('lets other machines in where the operator says so', () => {
    const file = spoiled((each) => {
      const [host] = each['hosts'] as { resp: { listen: string } }[];
      if (host !== undefined) host.resp.listen = '0.0.0.0:7001';
      (each['options'] as Record<string, unknown>)['insecureNetwork'] = true;
    });
    expect(problemsOf(() => checkCluster(file, 'test'))).toEqual([]);
  });

  it('is refused whatever else stands in the file', () => {
    for (const value of [null, 1, 'x', [], {}, { hosts: {} }, { hosts: [null, 7] }]) {
      expect(problemsOf(() => checkCluster(value, 'test')).length).toBeGreaterThan(0);
    }
    writeFileSync(join(directory, 'cluster.json'), 'x'.repeat(2 << 20));
    expect(problemsOf(() => readClusterFile(directory))[0]).toContain('more than a cluster file');
  });

  it('knows its hosts by id', () => {
    const file: ClusterFile = newCluster(shape);
    expect(hostOf(file, 2).resp.listen).toBe('127.0.0.1:7002');
    expect(problemsOf(() => hostOf(file, 4))).toEqual([
      'no host has the id 4, the ids are 1, 2, 3',
    ]);
  });
});
