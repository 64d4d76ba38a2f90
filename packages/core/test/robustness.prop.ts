// Whatever a peer says, a step does not throw, no invariant breaks, and terms and commit indexes do not fall.

import { type Message, type MessageKind, messageKinds } from '@flotilla/core';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Single } from './single.ts';

const kinds = Object.values(messageKinds) as MessageKind[];
const strange = fc.constantFrom(
  -1,
  0.5,
  Number.NaN,
  Number.POSITIVE_INFINITY,
  2 ** 53,
  Number.MAX_SAFE_INTEGER,
  2 ** 31,
  2 ** 32,
);
const number = fc.oneof(
  { weight: 12, arbitrary: fc.integer({ min: 0, max: 9 }) },
  { weight: 1, arbitrary: strange },
);
const anyMessage: fc.Arbitrary<Partial<Message>> = fc.record({
  kind: fc.oneof(
    { weight: 30, arbitrary: fc.constantFrom(...kinds) },
    { weight: 1, arbitrary: fc.constantFrom(0 as MessageKind, 14 as MessageKind) },
  ),
  from: fc.oneof(
    { weight: 10, arbitrary: fc.constantFrom(2, 3) },
    { weight: 1, arbitrary: number },
  ),
  term: number,
  prevIndex: number,
  prevTerm: number,
  lastIndex: number,
  entriesTerm: number,
  commit: number,
  index: number,
  logTerm: number,
  hintTerm: number,
  stream: number,
  token: number,
  granted: fc.boolean(),
  forced: fc.boolean(),
});
type Act = Partial<Message> | 'propose' | 'read' | 'tick' | 'persist' | 'campaign' | 'lead';
const act: fc.Arbitrary<Act> = fc.oneof(
  { weight: 12, arbitrary: anyMessage },
  {
    weight: 4,
    arbitrary: fc.constantFrom<Act>('propose', 'read', 'tick', 'persist', 'campaign', 'lead'),
  },
);

function play(node: Single, acts: readonly Act[]): void {
  for (const next of acts) {
    const { term, commitIndex } = node.core;
    // Entries beyond any memory are the host's to refuse; here they only cost time.
    if (next === 'propose') {
      node.propose(2);
    } else if (next === 'read') {
      node.read();
    } else if (next === 'tick') {
      node.tickAfter(50);
    } else if (next === 'persist') {
      node.persist();
    } else if (next === 'campaign') {
      node.campaign(true);
    } else if (next === 'lead') {
      if (node.core.role !== 'leader') node.lead();
    } else {
      const { kind, ...fields } = next;
      // Streams of this core are drawn in order: let some answers hit the present one.
      const stream = node.core.progress(2)?.stream ?? 0;
      const isHit = (fields.stream ?? 0) % 2 === 0;
      node.receive(kind as MessageKind, isHit ? { ...fields, stream } : fields);
    }
    expect(node.core.term).toBeGreaterThanOrEqual(term);
    expect(node.core.commitIndex).toBeGreaterThanOrEqual(commitIndex);
  }
}

describe('a core among strange peers', () => {
  it('survives any message with every invariant intact', () => {
    fc.assert(
      fc.property(
        fc.boolean(),
        fc.boolean(),
        fc.array(act, { maxLength: 60 }),
        (preVote, checkQuorum, acts) => {
          const node = new Single({
            config: { preVote, checkQuorum },
            termEnds: [
              { term: 1, lastIndex: 2 },
              { term: 3, lastIndex: 5 },
            ],
            commit: 1,
          });
          play(node, acts);
        },
      ),
      { numRuns: 2000 },
    );
  });
});
