// The benchmark command: picks a suite, measures the machine, prints the result.
//
//   npm run -s bench -- SUITE [options] [--json FILE]
//
// Exit codes: 0 measured, 1 the run failed or found itself invalid, 64 the command line is wrong.

import { measureMachine } from './machine.ts';
import { UsageError } from './options.ts';
import { writeReport } from './report.ts';
import type { Suite } from './suite.ts';

interface SuiteEntry {
  readonly about: string;
  /** Loaded when asked for, so that a suite costs the others nothing. */
  readonly load: () => Promise<Suite>;
}

const suites: Readonly<Record<string, SuiteEntry>> = {
  ceiling: {
    about: 'the bare data path without Raft: what any engine on this machine can reach at most',
    load: async () => (await import('./ceiling.ts')).ceiling,
  },
  micro: {
    about: 'inner steps on one core: CRC, encoding, the Raft core',
    load: async () => (await import('./micro.ts')).micro,
  },
  wal: {
    about: 'the log alone: rounds against the raw disk, sizes, recovery, memory, steady state',
    load: async () => (await import('./wal/suite.ts')).wal,
  },
  cluster: {
    about: 'writes of a cluster of hosts, each a process, through the public API',
    load: async () => (await import('./cluster.ts')).cluster,
  },
  groups: {
    about: 'the cluster suite over a list of group counts',
    load: async () => (await import('./cluster.ts')).groups,
  },
  stall: {
    about: 'a follower stopped under load: what the others notice, and how it catches up',
    load: async () => (await import('./faults/stall.ts')).stall,
  },
  slowdisk: {
    about: 'one host with a slow disk: what groups that are led elsewhere notice',
    load: async () => (await import('./faults/stall.ts')).slowDisk,
  },
  overload: {
    about:
      'ten times more offered than served: refusals, latency, memory, and every outcome checked',
    load: async () => (await import('./faults/overload.ts')).overload,
  },
  failover: {
    about: 'a killed host that led thousands of groups, and starts with as many',
    load: async () => (await import('./faults/failover.ts')).failover,
  },
};

/** Entry points of child processes that suites start from this file; not for people. */
const roles: Readonly<Record<string, () => Promise<() => void>>> = {
  'ceiling-follower': async () => (await import('./ceiling-follower.ts')).runFollower,
  'cluster-host': async () => (await import('./cluster-host.ts')).runClusterHost,
  'fault-host': async () => (await import('./faults/fault-host.ts')).runFaultHost,
};

async function main(): Promise<void> {
  const [name = '', ...rest] = process.argv.slice(2);
  const role = roles[name];
  if (role !== undefined) return (await role())();
  const entry = Object.hasOwn(suites, name) ? suites[name] : undefined;
  if (entry === undefined) throw new UsageError(usage(name));
  const { args, json } = takeJson(rest);
  const suite = await entry.load();
  const { params, results } = await suite(args);
  // After the suite, so that its writes have settled and a wrong command line is refused at once.
  const machine = measureMachine();
  writeReport({ suite: name, date: new Date().toISOString(), machine, params, results }, json);
}

/** --json belongs to the command, everything else to the suite. */
function takeJson(words: readonly string[]): { args: string[]; json: string | undefined } {
  const args = [...words];
  const at = args.findIndex((word) => word === '--json' || word.startsWith('--json='));
  if (at < 0) return { args, json: undefined };
  const [word = ''] = args.splice(at, 1);
  const json = word === '--json' ? args.splice(at, 1)[0] : word.slice('--json='.length);
  if (json === undefined || json === '')
    throw new UsageError('--json needs a file, or - for stdout');
  return { args, json };
}

function usage(name: string): string {
  const wrong = name === '' || name === '--help' ? '' : `no suite is called ${name}\n\n`;
  const lines = Object.entries(suites).map(
    ([suite, { about }]) => `  ${suite.padEnd(10)} ${about}`,
  );
  const head = 'npm run -s bench -- SUITE [options] [--json FILE]';
  return `${wrong}${head}\n\n${lines.join('\n')}\n\nSUITE --help lists the options of one.`;
}

// A reader that went away (`| head`) is no failure of ours.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
  process.exit(0);
});

main().catch((error: unknown) => {
  const isUsage = error instanceof UsageError;
  console.error(isUsage ? error.message : error);
  process.exit(isUsage ? 64 : 1);
});
