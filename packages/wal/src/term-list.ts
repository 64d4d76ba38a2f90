// The terms of every group's log, as linked nodes in one array: for each term but the last one present its last index,
// newest first. The last term is a column of the group table. Nothing here is per entry.
//
// A group that is replayed with gaps has terms for what is known; a gap seems to have the term of what follows it, until
// what stands there is put in.

import type { WalTermEnd } from './api.ts';
import { type GroupTable, none } from './group-table.ts';

/** Words of a node: term, last index, next older node. */
const termWords = 3;

export class TermList {
  readonly #groups: GroupTable;
  #terms: Float64Array = new Float64Array(64 * termWords);
  #high = 0;
  #free = none;

  constructor(groups: GroupTable) {
    this.#groups = groups;
  }

  /** Bytes of memory held. */
  get bytes(): number {
    return this.#terms.byteLength;
  }

  /** The log ended with `term` at `lastIndex`; another term follows. */
  push(slot: number, term: number, lastIndex: number): void {
    const node = this.#node(term, lastIndex, this.#groups.termNode[slot] as number);
    this.#groups.termNode[slot] = node;
  }

  #node(term: number, lastIndex: number, older: number): number {
    let node = this.#free;
    if (node !== none) {
      this.#free = this.#terms[node + 2] as number;
    } else {
      node = this.#high;
      this.#high += termWords;
      if (this.#high > this.#terms.length) {
        const larger = new Float64Array(this.#terms.length * 2);
        larger.set(this.#terms);
        this.#terms = larger;
      }
    }
    this.#terms[node] = term;
    this.#terms[node + 1] = lastIndex;
    this.#terms[node + 2] = older;
    return node;
  }

  #release(node: number): number {
    const older = this.#terms[node + 2] as number;
    this.#terms[node + 2] = this.#free;
    this.#free = node;
    return older;
  }

  /** Term of the entry at `index`, which must be in the log (or be the one before its first). */
  termOf(slot: number, index: number): number {
    const groups = this.#groups;
    if (index < (groups.first[slot] as number)) return groups.prevTerm[slot] as number;
    let term = groups.lastTerm[slot] as number;
    for (let node = groups.termNode[slot] as number; node !== none; ) {
      if ((this.#terms[node + 1] as number) < index) break;
      term = this.#terms[node] as number;
      node = this.#terms[node + 2] as number;
    }
    return term;
  }

  /** The terms of the log, oldest first, each with its last index. */
  ends(slot: number): WalTermEnd[] {
    const groups = this.#groups;
    const ends: WalTermEnd[] = [];
    const lastIndex = groups.last[slot] as number;
    if (lastIndex < (groups.first[slot] as number)) return ends;
    ends.push({ term: groups.lastTerm[slot] as number, lastIndex });
    let newer = groups.lastTerm[slot] as number;
    for (let node = groups.termNode[slot] as number; node !== none; ) {
      const term = this.#terms[node] as number;
      // Gaps that were filled leave neighbours of one term.
      if (term !== newer) ends.push({ term, lastIndex: this.#terms[node + 1] as number });
      newer = term;
      node = this.#terms[node + 2] as number;
    }
    return ends.reverse();
  }

  /** The log now ends at `last`. */
  truncate(slot: number, last: number): void {
    const groups = this.#groups;
    for (;;) {
      const node = groups.termNode[slot] as number;
      if (node === none || (this.#terms[node + 1] as number) < last) break;
      groups.lastTerm[slot] = this.#terms[node] as number;
      groups.termNode[slot] = this.#release(node);
    }
    if (last < (groups.first[slot] as number)) {
      groups.lastTerm[slot] = groups.prevTerm[slot] as number;
    }
  }

  /** The log now begins at `first` (the column is set already); prevTerm too. */
  compact(slot: number, first: number): void {
    const groups = this.#groups;
    let newer = none;
    let node = groups.termNode[slot] as number;
    while (node !== none && (this.#terms[node + 1] as number) >= first) {
      newer = node;
      node = this.#terms[node + 2] as number;
    }
    if (newer === none) groups.termNode[slot] = none;
    else this.#terms[newer + 2] = none;
    while (node !== none) node = this.#release(node);
    if ((groups.last[slot] as number) < first) {
      groups.lastTerm[slot] = groups.prevTerm[slot] as number;
    }
  }

  /** Drops all terms of the group; the log is empty behind an entry of `prevTerm`. */
  clear(slot: number): void {
    const groups = this.#groups;
    let node = groups.termNode[slot] as number;
    while (node !== none) node = this.#release(node);
    groups.termNode[slot] = none;
    groups.lastTerm[slot] = groups.prevTerm[slot] as number;
  }

  /** Puts the term of the entries first..last into a gap of a log that ends at `last` or later. */
  insert(slot: number, last: number, term: number): void {
    const groups = this.#groups;
    let newer = none;
    let node = groups.termNode[slot] as number;
    while (node !== none && (this.#terms[node + 1] as number) >= last) {
      newer = node;
      node = this.#terms[node + 2] as number;
    }
    if (newer === none && last === (groups.last[slot] as number)) {
      groups.lastTerm[slot] = term;
      return;
    }
    // A node of its own even where the interval has that term already: a truncation into the gap above may give the
    // interval another one.
    const added = this.#node(term, last, node);
    if (newer === none) groups.termNode[slot] = added;
    else this.#terms[newer + 2] = added;
  }
}
