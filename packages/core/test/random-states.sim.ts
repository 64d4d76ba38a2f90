// Seeded runs from random valid states (random-states.ts) under loss, repetition, reordering, partitions and crashes, with
// members that come and go, and every invariant after each step. Half of a run is trouble, then all must settle.
//
// By default 150,000 steps; `FLOTILLA_STEPS=1000000` takes a million. `FLOTILLA_SEED=<seed>` runs one.

import { describe, expect, it } from 'vitest';
import { Draw } from './random-configurations.ts';
import { PaperGroup, type StartState } from './random-states.ts';
import { Simulation } from './simulation.ts';

const only = Number(process.env.FLOTILLA_SEED ?? 0);
const stepsMin = Number(process.env.FLOTILLA_STEPS ?? 150_000);
const turnsPerState = 300;
const healMsMax = 20 * 200;

function stateOf(seed: number, nodes: number): StartState {
  const draw = new Draw(seed + 7_000_000);
  const group = new PaperGroup(draw, nodes, nodes + 3, draw.chance(50) ? 110 : 0);
  for (let left = 10 + draw.below(90); left > 0; left--) group.step();
  return group.state();
}

/** What makes a state worth starting from, counted over all of them. */
function note(start: StartState, seen: Record<string, number>): void {
  const count = (what: string, isSo: boolean): void => {
    seen[what] = (seen[what] ?? 0) + (isSo ? 1 : 0);
  };
  const logs = start.nodes.map(({ log }) => log);
  const last = start.committed.length;
  const counting = logs.map((log) => log.configurationAt(log.lastIndex));
  count(
    'a joint configuration in force',
    counting.some((at) => at.configuration.isJoint),
  );
  count(
    'a change that is not committed',
    counting.some((at) => at.index > last),
  );
  count(
    'a compacted log',
    logs.some(({ base }) => base.index > 0),
  );
  const isOther = (at: number): boolean =>
    new Set(logs.flatMap((log) => log.at(at)?.id ?? [])).size > 1;
  count('logs that differ', Array.from({ length: 40 }, (_, at) => at + 1).some(isOther));
  count('something committed', last > 0);
}

describe('from random valid states', () => {
  it('no step breaks an invariant, whatever is lost, repeated and reordered and whoever comes and goes, and all settles', () => {
    const seen: Record<string, number> = {};
    const reached: Record<string, number> = {};
    let states = 0;
    let steps = 0;
    for (let seed = Math.max(1, only); only > 0 ? seed === only : steps < stepsMin; seed++) {
      const nodes = seed % 3 === 0 ? 5 : 3;
      const start = stateOf(seed, nodes);
      note(start, seen);
      let sim: Simulation | null = null;
      try {
        sim = new Simulation({
          seed,
          nodes,
          preVote: (seed & 1) !== 0,
          checkQuorum: (seed & 2) !== 0,
          lossPercent: [0, 5, 20][(seed % 7) % 3] as number,
          crashes: seed % 4 !== 3,
          churn: true,
          start,
        });
        for (let turn = 0; turn < turnsPerState; turn++) sim.turn();
        sim.heal(healMsMax);
      } catch (error) {
        throw new Error(`seed ${seed}, step ${sim?.steps}: ${(error as Error).message}`, {
          cause: error,
        });
      }
      states++;
      steps += sim.steps;
      for (const [what, count] of Object.entries(sim.reached)) {
        reached[what] = (reached[what] ?? 0) + count;
      }
    }
    if (only > 0) return;
    // States in which nothing is unusual, or runs in which nothing happens, prove nothing: floors well under what is reached.
    for (const [what, count] of Object.entries(seen)) {
      expect(count, `${what}, in ${states} states`).toBeGreaterThan(states / 10);
    }
    expect(Object.keys(seen)).toHaveLength(5);
    for (const what of [
      'leader elected',
      'committed',
      'truncated',
      'crash',
      'snapshot installed',
    ]) {
      expect(reached[what] ?? 0, what).toBeGreaterThan(0);
    }
    if (process.env.FLOTILLA_STEPS !== undefined) {
      console.log(`${states} states, ${steps} steps`, seen, reached);
    }
  });
});
