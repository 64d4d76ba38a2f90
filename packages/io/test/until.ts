// Waiting for a condition with a deadline.

import { NodeClock } from '../src/node-clock.ts';

const clock = new NodeClock();

export function until(what: string, condition: () => boolean): Promise<void> {
  const endMs = clock.monotonicMs() + 20_000;
  return new Promise((resolve, reject) => {
    const look = (): void => {
      if (condition()) resolve();
      else if (clock.monotonicMs() > endMs) reject(new Error(`never came true: ${what}`));
      else clock.at(clock.monotonicMs() + 2, look);
    };
    look();
  });
}
