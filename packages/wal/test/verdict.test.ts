import { describe, expect, it } from 'vitest';
import { decideTail, type TailFacts, type TailFault } from '../src/verdict.ts';

const faults: TailFault[] = [
  'end',
  'zero',
  'stale',
  'short',
  'header',
  'body',
  'misplaced',
  'order',
  'format',
  'version',
];
const both = [false, true];

function everyFact(): TailFacts[] {
  const all: TailFacts[] = [];
  for (const fault of faults) {
    for (const isWitnessed of both) {
      for (const hasLater of both) {
        for (const laterProves of hasLater ? both : [false]) {
          for (const isOneBit of both) {
            for (const suspectTail of ['refuse', 'discard'] as const) {
              all.push({ fault, isWitnessed, hasLater, laterProves, isOneBit, suspectTail });
            }
          }
        }
      }
    }
  }
  return all;
}

describe('WF66: the decision about the end of the log', () => {
  it('gives each combination of facts one verdict, and each verdict is the row it should be', () => {
    const counts: Record<string, number> = {};
    for (const facts of everyFact()) {
      const verdict = decideTail(facts);
      counts[verdict] = (counts[verdict] ?? 0) + 1;
      const isAcked = facts.isWitnessed || facts.laterProves;
      const holds = facts.fault === 'format' || facts.fault === 'version';
      // Nothing acknowledged is ever dropped, and nothing proven is called a clean end.
      if (isAcked && !holds) expect(verdict).toBe('E_CORRUPT_ACKED');
      if (verdict === 'torn' || verdict === 'cleanEnd') expect(isAcked).toBe(false);
      if (verdict === 'cleanEnd') {
        expect(['end', 'zero', 'stale']).toContain(facts.fault);
        expect(facts.hasLater).toBe(false);
      }
      if (verdict === 'E_SUSPECT_BITFLIP') {
        expect(facts).toMatchObject({ isOneBit: true, hasLater: false, suspectTail: 'refuse' });
      }
    }
    expect(counts).toEqual({
      cleanEnd: 12,
      torn: 33,
      E_CORRUPT_ACKED: 128,
      E_CORRUPT: 16,
      E_SUSPECT_BITFLIP: 3,
      E_FORMAT: 24,
      E_VERSION: 24,
    });
  });
});
