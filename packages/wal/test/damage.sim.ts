// Tens of thousands of damaged images of logs: nothing silent, nothing witnessed cut off, no crash, no hang, and the
// inspection says of each what opening does. WAL_DAMAGE_IMAGES sets how many (`npm run night`: 100,000), WAL_DAMAGE_FIRST
// where to start; a failure names the number that repeats it.

import { SimRng } from '@flotilla/testkit';
import { describe, expect, it } from 'vitest';
import { type BaseImage, makeBase } from './damage/base-images.ts';
import { judgeImage, judgeThreads } from './damage/judge.ts';
import { damageImage } from './damage/damage-image.ts';

const bases = 24;

describe('WF64: damaged images', () => {
  it('open as a state that existed and that every surviving witness allows, or are refused, as the inspection says', () => {
    const first = Number(process.env.WAL_DAMAGE_FIRST ?? 1);
    const count = Number(process.env.WAL_DAMAGE_IMAGES ?? 2000);
    const made = new Map<number, BaseImage>();
    const verdicts: Record<string, number> = {};
    const applied = new Map<string, number>();
    for (let number = first; number < first + count; number++) {
      const seed = 1 + (number % bases);
      const base = made.get(seed) ?? makeBase(seed);
      made.set(seed, base);
      const damaged = damageImage(base, new SimRng(number, 'damage'));
      for (const name of damaged.names) applied.set(name, (applied.get(name) ?? 0) + 1);
      const what = `image ${number} (${base.label}; ${damaged.names.join(' + ')})`;
      try {
        const { verdict, complaint } = judgeImage(damaged.files, damaged.expected);
        verdicts[verdict] = (verdicts[verdict] ?? 0) + 1;
        expect(complaint, what).toBeNull();
      } catch (error) {
        throw new Error(
          `WAL_DAMAGE_FIRST=${number} WAL_DAMAGE_IMAGES=1: ${what}: ${(error as Error).message}`,
          { cause: error },
        );
      }
    }
    if (count < 1000) return;
    // The run proves something only if every way to damage was used and every kind of verdict was reached.
    for (const verdict of [
      'cleanEnd',
      'torn',
      'E_CORRUPT_ACKED',
      'E_CORRUPT',
      'E_SEG_MISSING',
      'E_SEG_HEADER',
      'E_STORE',
      'E_FORMAT',
      'E_NOT_FILE',
      'E_SEG_UNEXPECTED',
      'E_VERSION',
    ])
      expect(verdicts[verdict] ?? 0, verdict).toBeGreaterThan(0);
    expect(Math.min(...applied.values())).toBeGreaterThan(count / 200);
    console.log(`damaged images ${first}..${first + count - 1}: ${JSON.stringify(verdicts)}`);
  }, 7_200_000);

  it('are found the same, to the last run of the index, by a walk that threads check ahead of, whichever of them die', () => {
    const first = Number(process.env.WAL_DAMAGE_FIRST ?? 1);
    const count = Number(process.env.WAL_DAMAGE_IMAGES ?? 1000);
    const made = new Map<number, BaseImage>();
    let checked = 0;
    let died = 0;
    for (let number = first; number < first + count; number++) {
      const seed = 1 + (number % bases);
      const base = made.get(seed) ?? makeBase(seed);
      made.set(seed, base);
      const rng = new SimRng(number, 'damage');
      const damaged = damageImage(base, rng);
      const what = `image ${number} (${base.label}; ${damaged.names.join(' + ')})`;
      try {
        // One in four as it was before the damage: there is more to check.
        const judged = judgeThreads(number % 4 === 0 ? base.files : damaged.files, rng);
        checked += judged.checked;
        died += judged.died;
        expect(judged.complaint, what).toBeNull();
      } catch (error) {
        throw new Error(
          `WAL_DAMAGE_FIRST=${number} WAL_DAMAGE_IMAGES=1: ${what}: ${(error as Error).message}`,
          { cause: error },
        );
      }
    }
    if (count < 1000) return;
    expect(checked).toBeGreaterThan(count);
    expect(died).toBeGreaterThan(count / 10);
    console.log(
      `images ${first}..${first + count - 1}: ${checked} windows checked, ${died} deaths`,
    );
  }, 7_200_000);
});
