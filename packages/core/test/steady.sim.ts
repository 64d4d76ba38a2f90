// A core that is lent to a row of numbers where it is steady (steady.ts) against one that is always stepped, on the same
// events, under loss, repetition, reordering, partitions, crashes and changes of members. A failing seed is named in the
// message; run it alone with `FLOTILLA_SEED=<seed>`, or more with `FLOTILLA_TWIN_SEEDS=<count>`.

import { describe, expect, it } from 'vitest';
import { Simulation } from './simulation.ts';
import { steadyCounts } from './steady-twin.ts';

const only = Number(process.env.FLOTILLA_SEED ?? 0);
const seedCount = Number(process.env.FLOTILLA_TWIN_SEEDS ?? 24);
const seeds = only > 0 ? [only] : Array.from({ length: seedCount }, (_, i) => i + 1);
const turnsPerSeed = 3000;
/** How often a seed takes each way at least, on average. */
const floorsPerSeed = {
  propose: 25,
  durable: 40,
  granted: 15,
  append: 60,
  leaderTick: 2,
  followerTick: 10,
  stepped: 1000,
} as const;

/** What is proposed to any node by chance seldom meets a leader. */
function proposeToLeader(sim: Simulation, count: number): void {
  const leader = sim.nodes.find(({ core }) => core.role === 'leader');
  if (leader !== undefined) sim.step(leader, { kind: 'propose', count, bytes: 10 * count });
}

describe('a core lent to a row', () => {
  it('asks for the same and is in the same state as one that is stepped, after every event', () => {
    for (const seed of seeds) {
      const sim = new Simulation({
        seed,
        nodes: seed % 3 === 0 ? 5 : 3,
        preVote: (seed & 1) !== 0,
        checkQuorum: (seed & 2) !== 0,
        lossPercent: [0, 0, 2, 20][(seed >> 1) % 4] as number,
        crashes: seed % 2 === 0,
        churn: seed % 4 === 0 || seed % 4 === 1,
        twins: true,
      });
      try {
        for (let turn = 0; turn < turnsPerSeed; turn++) {
          sim.turn();
          if (turn % 8 === 0) proposeToLeader(sim, 1 + (turn % 3));
        }
        sim.heal(4000);
        sim.proposeCalmly();
        sim.heal(4000);
      } catch (error) {
        throw new Error(`seed ${seed}, step ${sim.steps}: ${(error as Error).message}`, {
          cause: error,
        });
      }
    }
    if (only > 0) return;
    for (const [way, floor] of Object.entries(floorsPerSeed)) {
      const count = steadyCounts[way as keyof typeof steadyCounts];
      expect(count, way).toBeGreaterThan(floor * seedCount);
    }
  }, 60_000);
});
