import { newTotals, type Totals } from '@flotilla/testkit';
import { describe, expect, it } from 'vitest';
import type { ResultRecord } from '../src/result-line.ts';
import { Tally, weaknessOf } from '../src/tally.ts';

/** More of everything than any floor asks for. */
function plenty(): Totals {
  const totals = newTotals();
  for (const name of Object.keys(totals) as (keyof Totals)[]) totals[name] = 10_000;
  return totals;
}

function record(config: string, totals: Totals): ResultRecord {
  return {
    seed: 1,
    config,
    events: 1,
    simulatedSeconds: 1,
    elapsedMs: 1,
    traceHash: '0',
    verdict: 'pass',
    invariant: null,
    message: null,
    atSeconds: null,
    replay: 'npm run -s sim -- --seed 1',
    totals,
    report: '',
  };
}

function runOf(config: string, seeds: number, without?: keyof Totals): Tally {
  const tally = new Tally(config);
  for (let i = 0; i < seeds; i++) {
    const totals = plenty();
    if (without !== undefined) totals[without] = 0;
    tally.add(record(config, totals));
  }
  return tally;
}

describe('a run of seeds without a violation', () => {
  it.each([
    ['default', 'poisonedHosts'],
    ['default', 'acknowledgedWrites'],
    ['churn', 'membersJoined'],
    ['churn', 'changesDone'],
    ['churn', 'transfersDone'],
    ['churn', 'leaseReads'],
    ['churn', 'followerReads'],
  ] as const)('has not passed where config %s has ceased to show %s', (config, name) => {
    expect(runOf(config, 100).hasPassed).toBe(true);
    const blind = runOf(config, 100, name);
    expect(blind.hasPassed).toBe(false);
    expect(blind.summary().some((line) => line.startsWith(`below its floor: ${name}`))).toBe(true);
  });

  it('is not held against floors that only many seeds reach', () => {
    expect(runOf('default', 99, 'poisonedHosts').hasPassed).toBe(true);
    expect(runOf('default', 999, 'tornTails').hasPassed).toBe(true);
    expect(runOf('default', 1000, 'tornTails').hasPassed).toBe(false);
  });

  it('has not passed with one seed that had no crash, no partition or few writes', () => {
    for (const [name, lacks] of [
      ['crashes', 'no crash'],
      ['partitions', 'no partition'],
      ['acknowledgedWrites', '0 writes'],
    ] as const) {
      const weak = record('default', { ...plenty(), [name]: 0 });
      expect(weaknessOf(weak)).toBe(lacks);
      const tally = runOf('default', 3);
      expect(tally.add(weak)).toBe(lacks);
      expect(tally.hasPassed).toBe(false);
    }
  });
});
