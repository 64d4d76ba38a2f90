// Groups whose commit index moved without anything else to write: a queue of slots in the order they became dirty. Each
// is laid at most once a second, beside other data; a crash loses commit indexes only, which the leader tells again.

const initialCapacity = 256;
/** Commits laid a turn at most, so that a second's worth of 10,000 groups does not make one long turn. */
export const commitsPerTurn = 256;
export const commitDelayMs = 1000;

export class CommitQueue {
  #slots: Int32Array = new Int32Array(initialCapacity);
  #sinceMs: Float64Array = new Float64Array(initialCapacity);
  #head = 0;
  #length = 0;

  get length(): number {
    return this.#length;
  }

  /** When the oldest became dirty; only while there is one. */
  get oldestMs(): number {
    return this.#sinceMs[this.#head] as number;
  }

  push(slot: number, nowMs: number): void {
    if (this.#length === this.#slots.length) this.#grow();
    const at = (this.#head + this.#length++) & (this.#slots.length - 1);
    this.#slots[at] = slot;
    this.#sinceMs[at] = nowMs;
  }

  shift(): number {
    const slot = this.#slots[this.#head] as number;
    this.#head = (this.#head + 1) & (this.#slots.length - 1);
    this.#length--;
    return slot;
  }

  #grow(): void {
    const capacity = this.#slots.length;
    const slots = new Int32Array(capacity * 2);
    const since = new Float64Array(capacity * 2);
    for (let i = 0; i < this.#length; i++) {
      const at = (this.#head + i) & (capacity - 1);
      slots[i] = this.#slots[at] as number;
      since[i] = this.#sinceMs[at] as number;
    }
    this.#slots = slots;
    this.#sinceMs = since;
    this.#head = 0;
  }
}
