// What the event loop and its I/O thread have in common: a ring of write requests in shared memory. One side submits,
// the other completes, both in order; a request's place is its number modulo the ring's length.
//
//   Int32   0 submitted: requests so far, modulo 2^32    1 completed, likewise
//           2 1 = the thread sleeps until `submitted` moves    3 1 = the event loop sleeps: tell it of a completion
//           4 1 = the thread is to end
//   Float64 a request: descriptor, file offset, result, number of ranges, then memory, offset and length of each range

export const ringSlots = 64;
export const rangesMax = 8;
const headBytes = 64;
const rangeFields = 3;
const slotFields: number = 4 + rangeFields * rangesMax;

export const words = {
  submitted: 0,
  completed: 1,
  threadSleeps: 2,
  loopSleeps: 3,
  isEnding: 4,
} as const;
export const fields = { fd: 0, offset: 1, result: 2, rangeCount: 3, ranges: 4 } as const;

/** The ring as one side sees it. `result` is the number of bytes written, or less than 0: the negative errno. */
export class IoRing {
  readonly shared: SharedArrayBuffer;
  readonly words: Int32Array;
  readonly #slots: Float64Array;

  constructor(shared?: SharedArrayBuffer) {
    this.shared = shared ?? new SharedArrayBuffer(headBytes + ringSlots * slotFields * 8);
    this.words = new Int32Array(this.shared, 0, headBytes / 4);
    this.#slots = new Float64Array(this.shared, headBytes);
  }

  get(request: number, field: number): number {
    return this.#slots[this.#at(request) + field] as number;
  }

  set(request: number, field: number, value: number): void {
    this.#slots[this.#at(request) + field] = value;
  }

  range(request: number, index: number): { memory: number; offset: number; length: number } {
    const at = this.#at(request) + fields.ranges + rangeFields * index;
    const [memory, offset, length] = this.#slots.subarray(at, at + rangeFields);
    return { memory: memory as number, offset: offset as number, length: length as number };
  }

  setRange(request: number, index: number, memory: number, offset: number, length: number): void {
    const at = this.#at(request) + fields.ranges + rangeFields * index;
    this.#slots[at] = memory;
    this.#slots[at + 1] = offset;
    this.#slots[at + 2] = length;
  }

  #at(request: number): number {
    return (request & (ringSlots - 1)) * slotFields;
  }
}

/** What the event loop tells the thread besides: memory that requests name, and memory that none names any more. */
export type IoThreadNote =
  | { readonly id: number; readonly memory: SharedArrayBuffer }
  | { readonly id: number; readonly memory: null };
