// One damaged image, drawn: a base and one to three kinds of damage.

import type { SimRng } from '@flotilla/testkit';
import type { BaseImage } from './base-images.ts';
import type { Expectation } from './judge.ts';
import type { Image, Node } from './mem-world.ts';
import { mutators } from './mutators.ts';

export interface DamagedImage {
  readonly files: Image;
  readonly names: readonly string[];
  readonly expected: Expectation;
}

export function damageImage(base: BaseImage, rng: SimRng): DamagedImage {
  const files = new Map<string, Node>(base.files);
  const names: string[] = [];
  let isForged = false;
  let isMiddle = false;
  for (let left = rng.pick([1, 1, 1, 2, 3]); left > 0; left--) {
    const mutator = rng.pick(mutators);
    const done = mutator.apply({ base, files, rng });
    if (done === false) continue;
    names.push(mutator.name);
    isForged ||= mutator.forges;
    isMiddle = done === 'middle';
  }
  const mustRefuse = isMiddle && names.length === 1;
  return { files, names, expected: { states: isForged ? null : base.states, mustRefuse } };
}
