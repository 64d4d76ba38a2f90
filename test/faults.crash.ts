// The stall, overload and failover lines in short form: the suites of bench/ that hurt real processes. Each suite holds
// every single write against every replica and fails where one is lost, there twice, or there although it was refused,
// where a promise does not settle, or where memory grows past the caps. How fast all that is, the long forms measure
// (docs/guide/failures.md); nothing here depends on it.

import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import { killAll, run } from './support/processes.ts';

const bench = fileURLToPath(new URL('../bench/dist/main.js', import.meta.url));

/** The figures of one suite by name. Rejects with what it said where it found its run invalid. */
async function figuresOf(suite: string, words: string): Promise<Map<string, number>> {
  const args = [bench, suite, ...words.split(' '), '--json', '-'];
  const { end, stdout, stderr } = await run(process.execPath, args, { deadlineMs: 150_000 });
  if (end?.code !== 0) throw new Error(`${suite} failed:\n${stderr}`);
  const report = JSON.parse(stdout) as { results: { name: string; value: number }[] };
  return new Map(report.results.map(({ name, value }) => [name, value]));
}

afterAll(killAll);

describe('a cluster of processes that are hurt', () => {
  it('goes on without a stopped follower, which catches up, and loses nothing', async () => {
    const figures = await figuresOf('stall', '--warmup 0.5 --before 1 --seconds 2 --after 1');
    expect(figures.get('writesDuring')).toBeGreaterThan(0);
    expect(figures.get('caughtUpMs')).toBeGreaterThan(0);
  });

  it('serves the groups of the other hosts while the disk of one is slow', async () => {
    const figures = await figuresOf('slowdisk', '--warmup 0.5 --before 1 --seconds 2 --after 0.5');
    expect(figures.get('writesDuring.host1')).toBeGreaterThan(0);
    // 200 ms a sync, one at a time; one more may have been under way when it got slow.
    expect(figures.get('syncsDuring.slow')).toBeLessThan(6);
  });

  it('refuses what it cannot serve with BUSY, and settles every promise also when leadership is lost and when it closes', async () => {
    const figures = await figuresOf(
      'overload',
      '--warmup 0.5 --before 1 --seconds 1 --pendingMiB 1',
    );
    expect(figures.get('busy')).toBeGreaterThan(0);
    expect(figures.get('served')).toBeGreaterThan(0);
    for (const when of ['leadershipLost', 'closed']) {
      expect(figures.get(`${when}.unsettled`), when).toBe(0);
    }
  });

  it('serves every group again after the host that led them all was killed, and after all were stopped and killed', async () => {
    const figures = await figuresOf('failover', '--groups 128 --load 64 --seconds 1');
    for (const name of ['failover', 'startClean', 'startKilled']) {
      expect(figures.get(`${name}.allGroupsMs`), name).toBeGreaterThan(0);
    }
  });
});
