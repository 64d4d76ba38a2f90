// What each segment holds that is still needed: entry runs with their bytes, and state records of groups. A segment
// without either may go, once everything laid so far is durable.
//
// Columns over segment slots. Slots only grow and the live ones are neighbours, so a slot stands at its number modulo
// the columns' length, a power of two that is never below the number of segments.

import { assert } from '@flotilla/io';

const initialSlots = 64;

export class SegmentUse {
  #mask: number = initialSlots - 1;
  /** Live runs, groups whose OPEN, STATE or tombstone stands there, and the bytes of both. */
  #runs: Int32Array = new Int32Array(initialSlots);
  #bytes: Float64Array = new Float64Array(initialSlots);
  #states: Int32Array = new Int32Array(initialSlots);
  #oldest = 0;
  #newest = 0;
  #totalBytes = 0;

  /** Bytes of all live records. */
  get totalBytes(): number {
    return this.#totalBytes;
  }

  /** Makes room for the slot and those before it. */
  reach(slot: number): void {
    while (this.#newest < slot) {
      if (this.#newest + 1 - this.#oldest > this.#mask) this.#grow();
      this.#newest++;
      assert(this.isUnused(this.#newest), 'a slot that is in use');
      this.#bytes[this.#newest & this.#mask] = 0;
    }
  }

  addRun(slot: number, recLen: number): void {
    const at = slot & this.#mask;
    (this.#runs[at] as number)++;
    this.#bytes[at] = (this.#bytes[at] as number) + recLen;
    this.#totalBytes += recLen;
  }

  dropRun(slot: number, recLen: number): void {
    this.dropRuns(slot, 1, recLen);
  }

  /** Drops `count` runs of `bytes` together. */
  dropRuns(slot: number, count: number, bytes: number): void {
    const at = slot & this.#mask;
    const runs = (this.#runs[at] as number) - count;
    assert(runs >= 0, 'a segment with fewer runs than none');
    this.#runs[at] = runs;
    this.#bytes[at] = (this.#bytes[at] as number) - bytes;
    this.#totalBytes -= bytes;
  }

  addState(slot: number, recLen: number): void {
    const at = slot & this.#mask;
    (this.#states[at] as number)++;
    this.#bytes[at] = (this.#bytes[at] as number) + recLen;
    this.#totalBytes += recLen;
  }

  dropState(slot: number, recLen: number): void {
    const at = slot & this.#mask;
    this.#bytes[at] = (this.#bytes[at] as number) - recLen;
    this.#totalBytes -= recLen;
    const states = (this.#states[at] as number) - 1;
    assert(states >= 0, 'a segment with fewer states than none');
    this.#states[at] = states;
  }

  runsIn(slot: number): number {
    return this.#runs[slot & this.#mask] as number;
  }
  bytesIn(slot: number): number {
    return this.#bytes[slot & this.#mask] as number;
  }
  statesIn(slot: number): number {
    return this.#states[slot & this.#mask] as number;
  }

  isUnused(slot: number): boolean {
    const at = slot & this.#mask;
    return this.#runs[at] === 0 && this.#states[at] === 0;
  }

  /** The segments below `slot` are gone. */
  forgetBelow(slot: number): void {
    for (let gone = this.#oldest; gone < slot; gone++) {
      assert(this.isUnused(gone), 'a segment that goes while it is needed');
      this.#bytes[gone & this.#mask] = 0;
    }
    this.#oldest = Math.max(this.#oldest, slot);
  }

  #grow(): void {
    const length = (this.#mask + 1) * 2;
    const runs = new Int32Array(length);
    const bytes = new Float64Array(length);
    const states = new Int32Array(length);
    for (let slot = this.#oldest; slot <= this.#newest; slot++) {
      const from = slot & this.#mask;
      const to = slot & (length - 1);
      runs[to] = this.#runs[from] as number;
      bytes[to] = this.#bytes[from] as number;
      states[to] = this.#states[from] as number;
    }
    this.#mask = length - 1;
    this.#runs = runs;
    this.#bytes = bytes;
    this.#states = states;
  }
}
