// Seeds of the simulated cluster that run with every test: real hosts, faults of all kinds, every invariant. The command
// line (`npm run -s sim`) runs as many more as there is time for.

import {
  addTotals,
  belowFloors,
  type ClusterResult,
  drawClusterPlan,
  newTotals,
  runCluster,
} from '@flotilla/testkit';
import { afterAll, describe, expect, test } from 'vitest';

const seeds: readonly (readonly [config: string, first: number, count: number])[] = [
  ['default', 7, 7],
  ['storm', 1, 3],
  ['solo', 1, 3],
  ['cuts', 4, 2],
  ['wide', 1, 1],
  ['direct', 1, 2],
];

/** A minute of work on a machine that does nothing else; only a hang takes longer. */
const deadlineMs = 300_000;
const totals = newTotals();
const hashes = new Map<string, string>();

async function run(config: string, seed: number): Promise<ClusterResult> {
  const result = await runCluster(drawClusterPlan(seed, config));
  const { violation, report } = result;
  const found = violation === null ? null : `${violation.invariant}: ${violation.message}`;
  const replay = `npm run -s sim -- --seed ${seed} --config ${config}`;
  expect(found, `${report}\nreplay: ${replay}`).toBe(null);
  return result;
}

describe('the simulated cluster', () => {
  for (const [config, first, count] of seeds) {
    test(
      `keeps every promise over ${count} seeds of config ${config}`,
      async () => {
        for (let seed = first; seed < first + count; seed++) {
          const result = await run(config, seed);
          hashes.set(`${config} ${seed}`, result.traceHash);
          addTotals(totals, result.totals);
          expect(result.totals.acknowledgedWrites).toBeGreaterThanOrEqual(500);
          expect(result.totals.crashes).toBeGreaterThan(0);
          expect(result.totals.partitions).toBeGreaterThan(0);
        }
      },
      deadlineMs,
    );
  }

  test(
    'does the same twice, event by event',
    async () => {
      for (const [config, seed] of [
        ['default', 8],
        ['solo', 1],
      ] as const) {
        const again = await run(config, seed);
        expect(again.traceHash).toBe(hashes.get(`${config} ${seed}`));
      }
    },
    deadlineMs,
  );

  test(
    'ends a process at last where every planned crash met a host that was down',
    async () => {
      const plan = drawClusterPlan(9, 'default');
      const windows = plan.faults.windows.filter(({ fault }) => fault.kind === 'cut');
      const quiet = { ...plan, faults: { ...plan.faults, windows }, stops: [] };
      const { verdict, totals } = await runCluster(quiet);
      expect(verdict).toBe('pass');
      expect([totals.crashes, totals.powerCuts, totals.restarts]).toEqual([1, 1, 1]);
    },
    deadlineMs,
  );

  test(
    'a host that is closed after its log was poisoned was not closed in good order',
    async () => {
      const plan = drawClusterPlan(9, 'default');
      const fault = {
        kind: 'writeError',
        host: 'n1',
        applied: 'part',
        path: '/[0-9a-f]+[.]seg$',
      } as const;
      const windows = [{ fromUs: 3_000_000, untilUs: 3_000_000, fault }];
      // Its process ends up to 200 ms after the failed write: one of these comes in between.
      const stops = Array.from({ length: 20 }, (_, i) => ({
        host: 1,
        atUs: 3_030_000 + 5000 * i,
        downUs: 500_000,
      }));
      const run = { ...plan, faults: { ...plan.faults, windows }, stops };
      const { verdict, violation, totals } = await runCluster(run);
      expect([verdict, violation?.message]).toEqual(['pass', undefined]);
      expect([totals.poisonedHosts, totals.cleanStops, totals.kills, totals.powerCuts]).toEqual([
        1, 0, 1, 0,
      ]);
    },
    deadlineMs,
  );

  test('a plan is plain data and a function of its seed', () => {
    const plan = drawClusterPlan(77, 'storm');
    expect(JSON.parse(JSON.stringify(plan))).toEqual(plan);
    expect(drawClusterPlan(77, 'storm')).toEqual(plan);
    expect(drawClusterPlan(78, 'storm')).not.toEqual(plan);
    expect(() => drawClusterPlan(1, 'no such')).toThrow(/there is no config/);
  });

  test('many things went wrong, or the runs above proved little', () => {
    // About half of what these seeds do today: enough to notice that a kind of fault has ceased to happen.
    const floors = {
      acknowledgedWrites: 15_000,
      acknowledgedReads: 6000,
      unknownWrites: 300,
      notLeader: 5000,
      outcomeUnknown: 50,
      timedOut: 200,
      kills: 10,
      powerCuts: 20,
      poisonedHosts: 2,
      restarts: 40,
      leaders: 150,
      truncatedSuffixes: 3,
      writesTorn: 10,
      writesLost: 20,
      writesStale: 1,
      carriedBatches: 15,
      partitions: 20,
      oneWayPartitions: 8,
      connectionResets: 20,
      clogs: 10,
      badLinks: 15,
      pauses: 10,
      slowDisks: 20,
      diskStalls: 10,
      clockDrifts: 10,
      lateCopies: 1000,
      recoveriesChecked: 40,
      votesProbed: 200,
      walReads: 1000,
      appendsQueued: 50,
    };
    expect(belowFloors(totals, floors)).toEqual([]);
  });

  afterAll(() => {
    console.log(`simulated cluster: ${JSON.stringify(totals)}`);
  });
});
