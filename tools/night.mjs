// The long forms of what `npm test` does in short: each entry below is one command with its counts, run one after the
// other. A run that fails, or that says that a part of it was NOT RUN, makes the night fail; its output is shown either
// way. Needs root, strace and e2fsprogs for the disks that are hurt.
//
//   node tools/night.mjs [--list] [NAME ...]      the entries with these names, or all
//
// Exit codes: 0 all of it ran and held, 1 not so.

import { spawn } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** @typedef {{ name: string, does: string, env?: Record<string, string>, args: readonly string[] }} Entry */

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const vitest = 'node_modules/vitest/vitest.mjs';

/**
 * One file of the system tests.
 * @param {string} file
 */
const system = (file) => [vitest, 'run', '--project', 'system', `test/${file}`];

const unit = [vitest, 'run', '--project', 'unit'];

/** @type {readonly Entry[]} */
const entries = [
  {
    name: 'sim-default',
    does: '2,000 seeds of simulated clusters of real hosts under faults',
    args: ['tools/sim/dist/main.js', '--seeds', '2000', '--jobs', '2'],
  },
  {
    name: 'sim-churn',
    does: '2,000 seeds of the same where members come, go and hand over',
    args: ['tools/sim/dist/main.js', '--config', 'churn', '--seeds', '2000', '--jobs', '2'],
  },
  {
    name: 'sim-direct',
    does: '500 seeds with logs that are written past the page cache, and other ways by turns',
    args: ['tools/sim/dist/main.js', '--config', 'direct', '--seeds', '500', '--jobs', '2'],
  },
  {
    name: 'core-sim',
    does: '2,000 seeds of a network of Raft cores, without and with members that come and go',
    env: { FLOTILLA_SEEDS: '2000' },
    args: [...unit, '--testTimeout', '1800000', 'packages/core/test/safety.sim.ts'],
  },
  {
    name: 'core-states',
    does: '1,000,000 steps of Raft cores from random valid states',
    env: { FLOTILLA_STEPS: '1000000' },
    args: [...unit, '--testTimeout', '1800000', 'packages/core/test/random-states.sim.ts'],
  },
  {
    name: 'core-laws',
    does: 'laws of quorums on 100,000 random configurations, of changes on 10,000',
    env: { FLOTILLA_LAWS: '1' },
    args: [
      ...unit,
      '--testTimeout',
      '1800000',
      'packages/core/test/quorum.test.ts',
      'packages/core/test/configuration-change.test.ts',
    ],
  },
  {
    name: 'core-mutants',
    does: 'each known bug planted into the core: the test that names it fails',
    args: ['tools/test-mutants.mjs', 'packages/core'],
  },
  {
    name: 'core-frames',
    does: '1,000,000 damaged frames of RaftNode messages',
    env: { FLOTILLA_FUZZ_FRAMES: '1000000' },
    args: [...unit, '--testTimeout', '1800000', 'packages/raftnode/test/s2-safety.test.ts'],
  },
  {
    name: 'log-mutants',
    does: 'each fault of the log’s table handled wrongly, planted into the log: the test of that row fails',
    args: ['tools/test-mutants.mjs', 'packages/wal', 'tools/wal-inspect'],
  },
  {
    name: 'log-damage',
    does: '100,000 damaged images of logs: opening and inspection against what the log once showed',
    env: { WAL_DAMAGE_IMAGES: '100000' },
    args: [vitest, 'run', '--project', 'unit', 'packages/wal/test/damage.sim.ts'],
  },
  {
    name: 'log-bits',
    does: 'each single bit of batches, segment headers and STORE flipped',
    env: { WAL_EVERY_BIT: '1' },
    args: [
      vitest,
      'run',
      '--project',
      'unit',
      ...['tail.test.ts', 'directory.test.ts'].map((file) => `packages/wal/test/${file}`),
    ],
  },
  {
    name: 'inspect-damage',
    does: 'the command line of wal-inspect on 500 damaged images',
    env: { WAL_INSPECT_IMAGES: '500' },
    args: [vitest, 'run', '--project', 'unit', 'tools/wal-inspect/test/command-line.test.ts'],
  },
  {
    name: 'log-model',
    does: '1,000,000 steps over 5,000 groups of a log with a crash about every 200, against a model',
    env: { WAL_STEPS: '1000000', WAL_GROUPS: '5000', WAL_SEEDS: '1000' },
    args: [vitest, 'run', '--project', 'unit', 'packages/wal/test/crash.sim.ts'],
  },
  {
    name: 'log-idle',
    does: 'an idle group beside 100,000 batches of others',
    env: { WAL_IDLE_BATCHES: '100000' },
    args: [vitest, 'run', '--project', 'unit', 'packages/wal/test/space.sim.ts', '-t', 'WF58'],
  },
  {
    name: 'log-power',
    does: 'a log writer whose power is cut, 200 times',
    env: { FLOTILLA_POWER_CUTS: '200' },
    args: system('log-power.crash.ts'),
  },
  {
    name: 'log-kill',
    does: 'a log writer that is killed, 1,000 times',
    env: { FLOTILLA_KILLS: '1000' },
    args: system('log-kill.crash.ts'),
  },
  {
    name: 'log-inject',
    does: 'SIGKILL, EIO and ENOSPC at each of the first 200 system calls of two scripts, then a power cut',
    env: { FLOTILLA_INJECTIONS: '200' },
    args: system('log-inject.crash.ts'),
  },
  {
    name: 'log-full',
    does: 'a log writer whose disk is filled, 5 times',
    env: { FLOTILLA_FULL_ROUNDS: '5' },
    args: system('log-full.crash.ts'),
  },
  {
    name: 'cluster-power',
    does: 'power cuts of one of three hosts and of all three, 10 each',
    env: { FLOTILLA_POWER_ROUNDS: '10' },
    args: system('cluster-power.crash.ts'),
  },
  {
    name: 'cluster-full',
    does: 'full disks of one of three hosts and of all three, 5 in all',
    env: { FLOTILLA_FULL_ROUNDS: '5' },
    args: system('cluster-full.crash.ts'),
  },
  {
    name: 'cluster-kill',
    does: 'kill -9 of hosts under load, 20 rounds, every history checked',
    env: { FLOTILLA_KILL_ROUNDS: '20' },
    args: system('kill.crash.ts'),
  },
  {
    name: 'cluster-cut',
    does: 'the leader of loaded groups cut off in four ways, 10 rounds, within two election time-outs',
    env: { FLOTILLA_PARTITION_ROUNDS: '10' },
    args: system('partition.crash.ts'),
  },
  {
    name: 'stall',
    does: 'a follower stopped for 30 s under full load',
    args: ['bench/dist/main.js', 'stall'],
  },
  {
    name: 'slowdisk',
    does: 'every sync of one host takes 200 ms more for 30 s',
    args: ['bench/dist/main.js', 'slowdisk'],
  },
  {
    name: 'overload',
    does: 'ten times more offered than served for 20 s',
    args: ['bench/dist/main.js', 'overload'],
  },
  {
    name: 'failover',
    does: 'kill -9 of the host that leads 4,096 groups; starts with as many',
    args: ['bench/dist/main.js', 'failover'],
  },
];

const words = process.argv.slice(2);
const names = words.filter((word) => !word.startsWith('--'));
const strangers = [
  ...names.filter((name) => !entries.some((entry) => entry.name === name)),
  ...words.filter((word) => word.startsWith('--') && word !== '--list'),
];
if (strangers.length > 0) {
  console.error(`not known: ${strangers.join(', ')}; the names are`);
}
if (strangers.length > 0 || words.includes('--list')) {
  for (const { name, does } of entries) console.log(`${name.padEnd(14)} ${does}`);
  process.exit(strangers.length > 0 ? 1 : 0);
}

const chosen = names.length === 0 ? entries : entries.filter(({ name }) => names.includes(name));
/** @type {string[]} */
const summary = [];
let failed = 0;
for (const entry of chosen) {
  console.log(`\n== ${entry.name}: ${entry.does}`);
  const startedMs = performance.now();
  const { status, output } = await run(entry);
  const seconds = Math.round((performance.now() - startedMs) / 1000);
  const verdict = status !== 0 ? 'FAILED' : output.includes('NOT RUN') ? 'NOT RUN' : 'ok';
  if (verdict !== 'ok') failed++;
  summary.push(`${verdict.padEnd(8)}${entry.name.padEnd(14)} ${seconds} s`);
}
console.log(`\n${summary.join('\n')}`);
console.log(failed === 0 ? 'night: everything held' : `night: ${failed} did not hold`);
process.exitCode = failed === 0 ? 0 : 1;

/**
 * Runs one entry and shows what it prints.
 * @param {Entry} entry
 * @returns {Promise<{ status: number | null, output: string }>}
 */
function run({ env = {}, args }) {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [...args], {
      cwd: root,
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (/** @type {string} */ text) => {
        output += text;
        process.stdout.write(text);
      });
    }
    child.on('error', reject);
    child.on('close', (status) => resolve({ status, output }));
  });
}
