// Rng over the operating system's generator, drawn in blocks. Every fork is independent whatever its label.

import { randomFillSync } from 'node:crypto';
import type { Rng } from './world.ts';

const wordsPerDraw = 256;

export class NodeRng implements Rng {
  readonly #words: Uint32Array = new Uint32Array(wordsPerDraw);
  #next = wordsPerDraw;

  u32(): number {
    if (this.#next === wordsPerDraw) {
      randomFillSync(this.#words);
      this.#next = 0;
    }
    return this.#words[this.#next++] as number;
  }

  fork(_label: string): Rng {
    return new NodeRng();
  }
}
