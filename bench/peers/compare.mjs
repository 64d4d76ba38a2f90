// Measures this engine and another by turns, on one machine and within one run, and prints medians and their ratio: on a
// machine that others use too, nothing else is worth anything.
//
//   node bench/peers/compare.mjs [--suite log|cluster] [--rows 5x10x1024,48x1x128,1000x1x128] [--mode strict|overlapped]
//                                [--turns 5] [--seconds 2] [--warmup 1] [--dir DIR] [--json FILE]
//
// Ours must be built (npm run build); the other's harness is built here, with its own tool. Every side starts anew, in
// an empty folder, at each turn, and every second turn goes through the sides backwards.
// Exit codes: 0 compared, 1 a side failed, 64 the command line is wrong.

import { spawnSync } from 'node:child_process';
import { existsSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

/**
 * What one run of a side measured.
 * @typedef {{ rate: number, p50Ms: number, p99Ms: number }} Figures
 * @typedef {{ turns: number, seconds: string, warmup: string, mode: string, dir: string }} Plan
 * `theirs` says whether its figures are what ours are divided by.
 * @typedef {{ name: string, theirs: boolean, run: (row: string, plan: Plan) => Figures }} Side
 * @typedef {{ unit: string, rows: string, prepare: () => void, sides: (mode: string) => Side[] }} Comparison
 * @typedef {{ name: string, theirs: boolean, figures: Figures[] }} Measured
 */

const here = dirname(fileURLToPath(import.meta.url));
const bench = join(here, '..', 'dist', 'main.js');
const dragonboat = join(here, 'dragonboat', 'bin', 'dragonboat-bench');
const raftEngine = join(here, 'raft-engine', 'target', 'release', 'raft-engine-bench');

/** @type {Readonly<Record<string, Comparison>>} */
const comparisons = {
  log: {
    unit: 'batches/s',
    rows: '5x10x1024,48x1x128,1000x1x128',
    prepare: () => void run('cargo', ['build', '--release', '--locked'], join(here, 'raft-engine')),
    sides: (mode) => [
      { name: `flotilla, ${mode}, I/O thread`, theirs: false, run: ourLog('thread') },
      { name: `flotilla, ${mode}, direct`, theirs: false, run: ourLog('direct') },
      { name: `flotilla, ${mode}, dsync`, theirs: false, run: ourLog('dsync') },
      { name: `flotilla, ${mode}, fdatasync`, theirs: false, run: ourLog('fdatasync') },
      ...(mode === 'strict'
        ? [
            { name: 'raft-engine', theirs: true, run: theirLog('1', 'off') },
            { name: 'raft-engine, LZ4 as by default', theirs: true, run: theirLog('1', 'on') },
          ]
        : [
            { name: 'raft-engine, one writer', theirs: true, run: theirLog('1', 'off') },
            { name: 'raft-engine, two writers', theirs: true, run: theirLog('2', 'off') },
          ]),
    ],
  },
  cluster: {
    unit: 'writes/s',
    rows: '48x128',
    prepare: () => void run('go', ['build', '-o', dragonboat, '.'], join(here, 'dragonboat')),
    sides: () => [
      { name: 'flotilla', theirs: false, run: ourCluster },
      { name: 'dragonboat, tan, 1 worker', theirs: true, run: theirCluster('tan', '1') },
      { name: 'dragonboat, pebble, 2 workers', theirs: true, run: theirCluster('pebble', '2') },
    ],
  },
};

main();

function main() {
  const { suite, rows, json, plan } = readCommandLine();
  const comparison = comparisons[suite];
  if (comparison === undefined) return usage(`--suite ${suite}: there is no such suite`);
  if (!existsSync(bench)) fail('bench is not built: npm run build');
  comparison.prepare();
  const report = [];
  for (const row of (rows ?? comparison.rows).split(',')) {
    const measured = measure(comparison, row, plan);
    console.log(`${row}, ${plan.turns} turns of ${plan.seconds} s`);
    for (const line of linesOf(measured, comparison.unit)) console.log(`  ${line}`);
    report.push({ row, unit: comparison.unit, sides: measured });
  }
  if (json !== undefined) {
    const { version } = process;
    writeFileSync(
      json,
      `${JSON.stringify({ suite, date: new Date().toISOString(), node: version, plan, report }, null, 2)}\n`,
    );
  }
}

function readCommandLine() {
  try {
    const { values } = parseArgs({
      options: {
        suite: { type: 'string', default: 'log' },
        rows: { type: 'string' },
        mode: { type: 'string', default: 'strict' },
        turns: { type: 'string', default: '5' },
        seconds: { type: 'string', default: '2' },
        warmup: { type: 'string', default: '1' },
        dir: { type: 'string', default: tmpdir() },
        json: { type: 'string' },
      },
    });
    const { suite, rows, json, mode, seconds, warmup, dir } = values;
    const turns = Number(values.turns);
    if (!Number.isSafeInteger(turns) || turns < 1) usage('--turns must be a whole number from 1');
    if (mode !== 'strict' && mode !== 'overlapped') usage('--mode must be strict or overlapped');
    return { suite, rows, json, plan: { turns, seconds, warmup, mode, dir } };
  } catch (error) {
    return usage(/** @type {Error} */ (error).message);
  }
}

/**
 * @param {Comparison} comparison
 * @param {string} row
 * @param {Plan} plan
 * @returns {Measured[]}
 */
function measure(comparison, row, plan) {
  const sides = comparison.sides(plan.mode);
  /** @type {Measured[]} */
  const measured = sides.map(({ name, theirs }) => ({ name, theirs, figures: [] }));
  for (let turn = 0; turn < plan.turns; turn++) {
    const order = [...sides.keys()];
    if (turn % 2 === 1) order.reverse();
    for (const at of order)
      measured[at]?.figures.push(/** @type {Side} */ (sides[at]).run(row, plan));
  }
  return measured;
}

/**
 * Medians, and for each of ours the ratio to each of theirs: of the medians, and in brackets the lowest and the highest
 * of the turns.
 * @param {readonly Measured[]} measured
 * @param {string} unit
 * @returns {string[]}
 */
function linesOf(measured, unit) {
  const width = Math.max(...measured.map(({ name }) => name.length));
  const rivals = measured.filter(({ theirs }) => theirs);
  return measured.map(({ name, theirs, figures }) => {
    const rate = median(figures.map((one) => one.rate));
    const p50 = median(figures.map(({ p50Ms }) => p50Ms)).toFixed(3);
    const p99 = median(figures.map(({ p99Ms }) => p99Ms)).toFixed(3);
    const line = `${name.padEnd(width)} ${Math.round(rate).toLocaleString('en-US').padStart(9)} ${unit}  p50 ${p50} ms  p99 ${p99} ms`;
    if (theirs) return line;
    const ratios = rivals.map((rival) => {
      const ofTurns = figures.map(
        (one, turn) => one.rate / (rival.figures[turn]?.rate ?? Number.NaN),
      );
      const ofMedians = rate / median(rival.figures.map((one) => one.rate));
      const range = `${Math.min(...ofTurns).toFixed(2)}-${Math.max(...ofTurns).toFixed(2)}`;
      return `x${ofMedians.toFixed(2)} (${range}) of ${rival.name}`;
    });
    return `${line}  ${ratios.join(', ')}`;
  });
}

/**
 * @param {'thread' | 'direct' | 'dsync' | 'fdatasync'} sync
 * @returns {Side['run']}
 */
function ourLog(sync) {
  return (row, { mode, seconds, warmup, dir }) => {
    const [groups = '', block = '', payload = ''] = row.split('x');
    const shape = ['--groups', groups, '--block', block, '--payload', payload];
    const how = ['--mode', mode, '--sync', sync, '--seconds', seconds, '--warmup', warmup];
    const words = ['wal', '--part', 'rounds', '--raw', 'off', ...shape, ...how, '--dir', dir];
    const [result] = JSON.parse(run(process.execPath, [bench, ...words, '--json', '-'])).results;
    const { roundsPerSecond: rate, p50Ms, p99Ms } = result;
    return figuresOf({ rate, p50Ms, p99Ms });
  };
}

/**
 * @param {string} writers
 * @param {'on' | 'off'} compression
 * @returns {Side['run']}
 */
function theirLog(writers, compression) {
  return (row, { seconds, warmup, dir }) => {
    const how = ['--writers', writers, '--compression', compression];
    const words = ['--part', row, ...how, '--seconds', seconds, '--warmup', warmup, '--dir', dir];
    const { batchesPerSecond: rate, p50Ms, p99Ms } = JSON.parse(run(raftEngine, words));
    return figuresOf({ rate, p50Ms, p99Ms });
  };
}

/** A row is GROUPSxBYTES, with 4,096 writes awaited at any time. @type {Side['run']} */
function ourCluster(row, { seconds, warmup, dir }) {
  const [groups = '', payload = ''] = row.split('x');
  const shape = ['--groups', groups, '--payload', payload, '--inflight', '4096'];
  const words = ['cluster', ...shape, '--seconds', seconds, '--warmup', warmup, '--dir', dir];
  const [result] = JSON.parse(run(process.execPath, [bench, ...words, '--json', '-'])).results;
  const { value: rate, p50Ms, p99Ms } = result;
  return figuresOf({ rate, p50Ms, p99Ms });
}

/**
 * @param {'tan' | 'pebble'} store
 * @param {string} engines
 * @returns {Side['run']}
 */
function theirCluster(store, engines) {
  return (row, { seconds, warmup, dir }) => {
    const [shards, payload] = row.split('x');
    const shape = [`--shards=${shards}`, `--payload=${payload}`, '--inflight=4096'];
    const own = [`--store=${store}`, `--engines=${engines}`];
    const how = [`--seconds=${seconds}`, `--warmup=${warmup}`, `--dir=${dir}`];
    const {
      writesPerSecond: rate,
      p50Ms,
      p99Ms,
    } = JSON.parse(run(dragonboat, [...shape, ...how, ...own]));
    return figuresOf({ rate, p50Ms, p99Ms });
  };
}

/**
 * @param {Figures} figures
 * @returns {Figures}
 */
function figuresOf(figures) {
  if (Object.values(figures).every((value) => Number.isFinite(value) && value > 0)) return figures;
  return fail(`a side has no figures: ${JSON.stringify(figures)}`);
}

/**
 * Answers what the program printed; its errors are shown as they come.
 * @param {string} program
 * @param {readonly string[]} words
 * @param {string} [cwd]
 * @returns {string}
 */
function run(program, words, cwd) {
  const { status, signal, error, stdout } = spawnSync(program, words, {
    cwd,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  if (error !== undefined) return fail(`${program}: ${error.message}`);
  if (status !== 0) return fail(`${program} ${words.join(' ')} ended with ${status ?? signal}`);
  return stdout;
}

/** @param {readonly number[]} values */
function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[middle - 1] ?? Number.NaN)) / 2;
}

/**
 * @param {string} message
 * @returns {never}
 */
function fail(message) {
  console.error(message);
  process.exit(1);
}

/**
 * @param {string} problem
 * @returns {never}
 */
function usage(problem) {
  console.error(`${problem}\n\nSee the head of bench/peers/compare.mjs and bench/peers/README.md.`);
  process.exit(64);
}
