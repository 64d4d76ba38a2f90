// Seeded runs of three and five cores under loss, repetition, reordering, partitions and crashes, in all four
// combinations of pre-vote and check-quorum; and the same with members, leaders, snapshots, leases and disks that come and
// go. By default a million steps and more, with every invariant checked after each. A failing seed is named in the message; run
// it alone with
// `FLOTILLA_SEED=<seed>`, or many more with `FLOTILLA_SEEDS=<count>`.

import { describe, expect, it } from 'vitest';
import { Simulation } from './simulation.ts';

const only = Number(process.env.FLOTILLA_SEED ?? 0);
const seedCount = Number(process.env.FLOTILLA_SEEDS ?? 300);
const seeds = only > 0 ? [only] : Array.from({ length: seedCount }, (_, i) => i + 1);
const turnsPerSeed = 4000;
/** Twenty election time-outs (testing.md, L1). */
const healMsMax = 20 * 200;

function optionsOf(seed: number, churn = false): ConstructorParameters<typeof Simulation>[0] {
  return {
    seed,
    nodes: seed % 3 === 0 ? 5 : 3,
    preVote: (seed & 1) !== 0,
    checkQuorum: (seed & 2) !== 0,
    lossPercent: [0, 5, 20][(seed % 7) % 3] as number,
    crashes: seed % 4 !== 3,
    churn,
  };
}

/** Floors for 300 seeds, well under what they reach: a run in which nothing happens proves nothing. */
const churnFloors = {
  'leader elected': 1000,
  committed: 25_000,
  'committed in joint': 1000,
  'changed in one step': 250,
  'entered joint': 200,
  'left joint': 180,
  removed: 40,
  'replica begun anew': 500,
  'disk lost': 75,
  compacted: 1000,
  'snapshot installed': 130,
  truncated: 75,
  'read confirmed': 500,
  'follower read': 1200,
  crash: 2500,
} as const;

/** Runs every seed through faults and healing; what was reached in all. */
function runAll(churn: boolean): Record<string, number> {
  const reached: Record<string, number> = {};
  for (const seed of seeds) {
    const sim = new Simulation(optionsOf(seed, churn));
    try {
      for (let turn = 0; turn < turnsPerSeed; turn++) sim.turn();
      sim.heal(healMsMax);
      sim.proposeCalmly();
      sim.heal(healMsMax);
    } catch (error) {
      throw new Error(`seed ${seed}, step ${sim.steps}: ${(error as Error).message}`, {
        cause: error,
      });
    }
    for (const [what, count] of Object.entries(sim.reached)) {
      reached[what] = (reached[what] ?? 0) + count;
    }
  }
  return reached;
}

describe('safety under faults', () => {
  it('keeps S1 to S6, S9 and linearizable reads at every step, and settles once faults end', () => {
    const reached = runAll(false);
    if (only > 0) return;
    // A run in which nothing happens proves nothing: floors well under what these seeds reach.
    expect(reached['leader elected']).toBeGreaterThan(500);
    expect(reached.committed).toBeGreaterThan(10_000);
    expect(reached.truncated).toBeGreaterThan(100);
    expect(reached.crash).toBeGreaterThan(200);
    expect(reached['read confirmed']).toBeGreaterThan(300);
  });

  it('keeps them and S10 while members, leaders, snapshots, leases and disks come and go', () => {
    const reached = runAll(true);
    if (only > 0) return;
    for (const [what, floor] of Object.entries(churnFloors)) {
      expect(reached[what] ?? 0, what).toBeGreaterThan((floor * seedCount) / 300);
    }
  });

  it('makes the same run of the same seed', () => {
    const [first, second] = [0, 1].map(() => {
      const sim = new Simulation(optionsOf(7, true));
      for (let turn = 0; turn < turnsPerSeed; turn++) sim.turn();
      return JSON.stringify([sim.steps, sim.reached, sim.oracle.committed]);
    });
    expect(first).toBe(second);
  });
});
