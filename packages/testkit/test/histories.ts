// Legal histories drawn at random, for the tests of the checkers: each operation takes effect at one moment between its
// call and its return, so that the order of those moments explains everything that was seen.

import type { HistoryOperation, SimRng } from '@flotilla/testkit';

/** An operation with the moment at which it takes effect. */
export interface Planned<Input> {
  readonly client: number;
  readonly input: Input;
  readonly calledAt: number;
  readonly effectAt: number;
  readonly returnedAt: number;
  /** Its client never hears of it; then it happens or not. */
  readonly isUnknown: boolean;
  readonly happens: boolean;
}

export interface Shape {
  readonly clients: number;
  readonly count: number;
  /** Of operations whose outcome the client does not learn. */
  readonly unknown: number;
}

/** In order of effect. No two times are equal. */
export function planHistory<Input>(
  rng: SimRng,
  shape: Shape,
  draw: (rng: SimRng, at: number) => Input,
): Planned<Input>[] {
  const free = new Array<number>(shape.clients).fill(0);
  const plans: Planned<Input>[] = [];
  let serial = 0;
  for (let i = 0; i < shape.count; i++) {
    const client = free.indexOf(Math.min(...free));
    // The fraction keeps times apart.
    const time = (base: number): number => Math.floor(base) + ++serial / 2 ** 20;
    const calledAt = time((free[client] as number) + rng.below(20));
    const effectAt = time(calledAt + 1 + rng.below(30));
    const returnedAt = time(effectAt + 1 + rng.below(30));
    free[client] = returnedAt + 1;
    const isUnknown = rng.chance(shape.unknown);
    const happens = !isUnknown || rng.chance(0.5);
    plans.push({ client, input: draw(rng, i), calledAt, effectAt, returnedAt, isUnknown, happens });
  }
  return plans.sort((a, b) => a.effectAt - b.effectAt);
}

/** `carryOut` is called in order of effect, for what happens, and answers the output. */
export function historyOf<Input, Output>(
  plans: readonly Planned<Input>[],
  carryOut: (input: Input, plan: Planned<Input>) => Output,
  key = 'k',
): HistoryOperation<Input, Output>[] {
  return plans.flatMap((plan) => {
    const { client, input, calledAt, returnedAt, isUnknown, happens } = plan;
    const output = happens ? carryOut(input, plan) : null;
    const returned =
      isUnknown || output === null ? null : { at: returnedAt, output: output as Output };
    return [{ client, key, input, calledAt, returned }];
  });
}
