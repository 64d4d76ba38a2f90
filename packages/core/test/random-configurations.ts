// Random configurations and changes for the laws that hold for all of them. Drawn from a seed of its own generator, so
// that a failing case is named by its number; how many are drawn is an environment variable, which nightly runs raise.

import { Configuration, firstReplica, type MemberChange } from '@flotilla/core';

/** Cases of a law: `FLOTILLA_LAWS` times a share of the whole; by default what a minute of tests has room for. */
export function lawCases(whole: number): number {
  const share = Number(process.env.FLOTILLA_LAWS ?? 0.1);
  if (!(share > 0)) throw new RangeError(`FLOTILLA_LAWS: ${process.env.FLOTILLA_LAWS}`);
  return Math.max(100, Math.round(whole * share));
}

/** xorshift32: numbers below a limit. */
export class Draw {
  #state: number;
  constructor(seed: number) {
    this.#state = (Math.imul(seed + 1, 0x9e3779b1) ^ 0x2545f491) | 0 || 1;
  }
  below(limit: number): number {
    let x = this.#state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.#state = x;
    return Math.floor(((x >>> 0) / 2 ** 32) * limit);
  }
  chance(percent: number): boolean {
    return this.below(100) < percent;
  }
}

/** Distinct node ids out of 1..`idMax`, `countMin` to `countMax` of them. */
export function drawIds(draw: Draw, countMin: number, countMax: number, idMax: number): number[] {
  const pool = Array.from({ length: idMax }, (_, at) => at + 1);
  const count = countMin + draw.below(countMax - countMin + 1);
  const ids: number[] = [];
  while (ids.length < count) ids.push(...pool.splice(draw.below(pool.length), 1));
  return ids;
}

/** A configuration of 1 to 5 voters and up to 3 learners, not joint. */
export function drawConfiguration(draw: Draw): Configuration {
  const ids = drawIds(draw, 1, 8, 9);
  const voters = 1 + draw.below(Math.min(5, ids.length));
  return new Configuration({
    voters: ids.slice(0, voters).map(firstReplica),
    learners: ids.slice(voters, voters + 3).map(firstReplica),
  });
}

export function drawChanges(draw: Draw, countMax: number): MemberChange[] {
  return Array.from({ length: draw.below(countMax + 1) }, () => {
    const nodeId = 1 + draw.below(9);
    const kind = (['voter', 'learner', 'remove'] as const)[draw.below(3)] as MemberChange['kind'];
    return kind === 'remove' ? { kind, nodeId } : { kind, member: firstReplica(nodeId) };
  });
}
