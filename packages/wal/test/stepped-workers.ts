// Checking threads that run in the test's own thread, a job at a time and in an order drawn from a seed: they come up late,
// overtake each other, dawdle and, where asked for, die at any of their steps.

import { crc32 } from '@flotilla/codec';
import type { Clock, Rng, Workers } from '@flotilla/io';
import { TeamMember } from '../src/scan-team.ts';

export interface SteppedWorkers extends Workers {
  /** Threads that were started, died by themselves, and live still. */
  started: number;
  died: number;
  living: number;
  /** Windows that they checked, and those that changed under their hands, which none may. */
  checked: number;
  disturbed: number;
}

/** `dies`: one step in so many is the thread's last; 0 = none is. */
export function steppedWorkers(clock: Clock, rng: Rng, dies = 0): SteppedWorkers {
  const workers: SteppedWorkers = {
    cores: 8,
    started: 0,
    died: 0,
    living: 0,
    checked: 0,
    disturbed: 0,
    start: (_entry, shared, handlers) => {
      workers.started++;
      workers.living++;
      let member: TeamMember | null = null;
      /** Claimed, and not answered yet; and steps for which it stays so. */
      let job = -1;
      let dawdle = 0;
      let sum = 0;
      const sumOf = (bytes: Uint8Array): number => crc32(bytes, 0, bytes.length);
      let isEnding = false;
      const end = (error: Error | null): void => {
        workers.living--;
        handlers.onEnd(error);
      };
      const step = (): void => {
        if (isEnding) return end(null);
        const draw = rng.u32();
        if (dies > 0 && draw % dies === 0) {
          workers.died++;
          return end(new Error('it died'));
        }
        if ((draw >>> 8) % 3 === 0) {
          if (member === null) member = new TeamMember(shared);
          else if (job < 0) {
            job = member.tryClaim();
            dawdle = (draw >>> 16) % 8 === 0 ? 100 : 0;
            if (job >= 0) sum = sumOf(member.bytesOf(job));
          } else if (dawdle > 0) dawdle--;
          else {
            if (sum !== sumOf(member.bytesOf(job))) workers.disturbed++;
            member.work(job);
            job = -1;
            workers.checked++;
            handlers.onTold();
          }
        }
        clock.nextTurn(step);
      };
      clock.nextTurn(step);
      return {
        end: () => {
          isEnding = true;
        },
      };
    },
  };
  return workers;
}
