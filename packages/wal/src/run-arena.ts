// The index of all entries of all groups: runs of four u32 in shared memory, gathered in chunks that are linked per
// group. A run is one ENTRIES record: which live indexes it holds and where it stands.
//
//   word 0  first live index, relative to the group's base
//   word 1  bit 31 clear: bits 0..13 live entries, bits 14..30 recLen / 8   (a block of up to 64 KiB)
//           bit 31 set:   one entry, bits 0..30 recLen / 8                  (a larger one has a block of its own)
//   word 2  segment slot
//   word 3  file offset / 8
//
// A chunk is 32 runs behind four words: previous chunk + 1, next chunk + 1, runs used, unused. How many runs the last chunk
// of a group has stands beside the group (GroupTable.tailUsed), and in the chunk only after settle() of run-edits.ts: an
// append and the question for a newest run then read one line of memory, that of the run, and not first the head's.
//
// The arena knows chunks and words only; what they mean for a group's log is log-index.ts's business.

import { assert } from '@flotilla/io';
import { none } from './group-table.ts';

export const runWords = 4;
export const chunkRuns = 32;
export const chunkHeadWords = 4;
const chunkWords = chunkHeadWords + chunkRuns * runWords;
/** Chunks a page: about 17 MB, so that growth never copies more than that. */
const pageShift = 15;
const pageChunks = 1 << pageShift;
const firstPageChunks = 256;

const largeFlag = 0x8000_0000;
const countMask = 0x3fff;

/** Word 1 of a run. `count` > 1 only where the record is short (codec's blockBytesMax). */
export function packLength(count: number, recLen: number): number {
  const units = recLen / 8;
  if (units > 0x1_ffff || count > countMask) {
    assert(count === 1, () => `a block of ${count} entries has ${recLen} bytes`);
    return (largeFlag | units) >>> 0;
  }
  return (count | (units << 14)) >>> 0;
}
export function countOf(word: number): number {
  return word >= largeFlag ? 1 : word & countMask;
}
export function recLenOf(word: number): number {
  return (word >= largeFlag ? word - largeFlag : word >>> 14) * 8;
}
/** The same live entries in a record of another length. */
export function withRecLen(word: number, recLen: number): number {
  return packLength(countOf(word), recLen);
}
/** The same record with fewer live entries. */
export function withCount(word: number, count: number): number {
  return word >= largeFlag ? word : ((word & ~countMask) | count) >>> 0;
}

export class RunArena {
  readonly #pages: Uint32Array[] = [new Uint32Array(firstPageChunks * chunkWords)];
  /** Chunks handed out at least once. */
  #high = 0;
  /** Freed chunks, linked through their `next` word. */
  #free = none;
  /** Counts frees: a cursor kept over one is void. */
  freed = 0;

  page(chunk: number): Uint32Array {
    return this.#pages[chunk >>> pageShift] as Uint32Array;
  }

  /** Word offset of the chunk in its page. */
  baseOf(chunk: number): number {
    return (chunk & (pageChunks - 1)) * chunkWords;
  }

  /** Bytes of memory held. */
  get bytes(): number {
    let sum = 0;
    for (const page of this.#pages) sum += page.byteLength;
    return sum;
  }

  /** A chunk without runs after `previous` (or `none`), linked both ways. */
  allocate(previous: number): number {
    let chunk = this.#free;
    if (chunk !== none) {
      this.#free = (this.page(chunk)[this.baseOf(chunk) + 1] as number) - 1;
    } else {
      chunk = this.#high++;
      this.#reach(chunk);
    }
    const words = this.page(chunk);
    const at = this.baseOf(chunk);
    words[at] = previous + 1;
    words[at + 1] = 0;
    words[at + 2] = 0;
    words[at + 3] = 0;
    if (previous !== none) this.page(previous)[this.baseOf(previous) + 1] = chunk + 1;
    return chunk;
  }

  /** Gives back the last chunk of a group's list and answers the one before it, or `none`. */
  freeTail(chunk: number): number {
    const words = this.page(chunk);
    const at = this.baseOf(chunk);
    const previous = (words[at] as number) - 1;
    if (previous !== none) this.page(previous)[this.baseOf(previous) + 1] = 0;
    words[at + 1] = this.#free + 1;
    this.#free = chunk;
    this.freed++;
    return previous;
  }

  /** Gives back the first chunk of a group's list and answers the one after it, or `none`. */
  freeHead(chunk: number): number {
    const words = this.page(chunk);
    const at = this.baseOf(chunk);
    const next = (words[at + 1] as number) - 1;
    if (next !== none) this.page(next)[this.baseOf(next)] = 0;
    words[at + 1] = this.#free + 1;
    this.#free = chunk;
    this.freed++;
    return next;
  }

  /** Splits a chunk: its runs from `run` on go into a new chunk after it, which is answered. */
  split(chunk: number, run: number): number {
    const next = this.nextOf(chunk);
    const added = this.allocate(chunk);
    const from = this.page(chunk);
    const fromAt = this.baseOf(chunk);
    const to = this.page(added);
    const toAt = this.baseOf(added);
    const used = from[fromAt + 2] as number;
    for (let word = run * runWords; word < used * runWords; word++) {
      to[toAt + chunkHeadWords + word - run * runWords] = from[
        fromAt + chunkHeadWords + word
      ] as number;
    }
    from[fromAt + 2] = run;
    to[toAt + 2] = used - run;
    to[toAt + 1] = next + 1;
    if (next !== none) this.page(next)[this.baseOf(next)] = added + 1;
    return added;
  }

  /** The chunk after this one in its group's list, or `none`. */
  nextOf(chunk: number): number {
    return (this.page(chunk)[this.baseOf(chunk) + 1] as number) - 1;
  }

  setUsed(chunk: number, used: number): void {
    this.page(chunk)[this.baseOf(chunk) + 2] = used;
  }

  usedIn(chunk: number): number {
    return this.page(chunk)[this.baseOf(chunk) + 2] as number;
  }

  #reach(chunk: number): void {
    const number = chunk >>> pageShift;
    const page = this.#pages[number];
    if (page === undefined) {
      this.#pages.push(new Uint32Array(pageChunks * chunkWords));
      return;
    }
    const needed = (this.baseOf(chunk) + chunkWords) as number;
    if (needed <= page.length) return;
    const larger = new Uint32Array(Math.min(page.length * 2, pageChunks * chunkWords));
    larger.set(page);
    this.#pages[number] = larger;
  }
}
