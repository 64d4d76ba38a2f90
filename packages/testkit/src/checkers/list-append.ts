// Checks transactions that append unique values to lists and read whole lists (the method of Elle, Kingsbury and Alvaro
// 2020). A list tells its own history: which version came after which is read off the longest one, and from that follows
// what every transaction depends on. A cycle of dependencies is a history that no serial order explains. Linear in the
// history, where a general search would be hopeless.
//
// Found without cycles:
//   internal       a read contradicts what its own transaction did before
//   duplicated     one list has a value twice           phantom       a value that nobody appended
//   incompatible   two lists of a key, neither of which begins with the other
//   lost           a value acknowledged before the read was called is missing in it
//   G1a            a value of a transaction that was aborted
//   G1b            a list that ends between two appends of one transaction
// By cycles (Adya's names; ww: wrote over, wr: was read by, rw: read what the other replaced):
//   G0             only ww                              G1c           ww and wr
//   G-single       with exactly one rw                  G2            with several
//   the same with `-realtime`: only together with the order in which transactions returned and were called.

import { Graph } from './cycles.ts';
import { type CheckReport, type Finding, reportOf } from './finding.ts';

export type ListStep =
  | { readonly kind: 'append'; readonly key: string; readonly value: number }
  /** `list` is absent where the transaction's outcome is unknown. */
  | { readonly kind: 'read'; readonly key: string; readonly list?: readonly number[] };

export interface ListTransaction {
  readonly client: number;
  readonly steps: readonly ListStep[];
  readonly calledAt: number;
  /** null: the outcome is unknown. 'aborted' certainly did not happen. */
  readonly returned: { readonly at: number; readonly outcome: 'committed' | 'aborted' } | null;
}

type CycleFault = 'G0' | 'G1c' | 'G-single' | 'G2';
export type ListFault =
  | 'internal'
  | 'duplicated'
  | 'phantom'
  | 'incompatible'
  | 'lost'
  | 'G1a'
  | 'G1b'
  | CycleFault
  | `${CycleFault}-realtime`;

const ww = 1;
const wr = 2;
const rw = 4;
const realtime = 8;
/** In a component so large that no cycle with a single rw was found so soon, it is called G2. */
const cycleTriesMax = 500;
const kindNames: readonly [number, string][] = [
  [ww, 'ww'],
  [wr, 'wr'],
  [rw, 'rw'],
  [realtime, 'rt'],
];

/** Who appended a value, and as which of its appends to that key. */
interface Writer {
  readonly transaction: number;
  readonly isLast: boolean;
}

interface ListRead {
  readonly transaction: number;
  readonly list: readonly number[];
  /** How many of its last values the transaction itself had appended before. */
  readonly own: number;
}

/** What is known of one key. */
class Key {
  readonly name: string;
  readonly writers: Map<number, Writer> = new Map();
  readonly reads: ListRead[] = [];
  /** The longest list that was read, which all others must begin. */
  longest: readonly number[] = [];

  constructor(name: string) {
    this.name = name;
  }
}

/** Throws RangeError where a value is appended twice to a key. */
export function checkListAppend(history: readonly ListTransaction[]): CheckReport<ListFault> {
  return new ListCheck(history).report();
}

class ListCheck {
  readonly #history: readonly ListTransaction[];
  readonly #keys: Map<string, Key> = new Map();
  readonly #findings: Finding<ListFault>[] = [];
  readonly #graph: Graph;

  constructor(history: readonly ListTransaction[]) {
    this.#history = history;
    this.#graph = new Graph(history.length);
    history.forEach((transaction, at) => {
      this.#collectAppends(transaction, at);
    });
    history.forEach((transaction, at) => {
      if (transaction.returned?.outcome === 'committed') this.#collectReads(transaction, at);
    });
  }

  report(): CheckReport<ListFault> {
    let unread = 0;
    for (const key of this.#keys.values()) {
      this.#checkLists(key);
      unread += this.#checkLost(key);
      this.#addDependencies(key);
    }
    this.#addRealtime();
    this.#findCycles();
    return reportOf(this.#findings, unread);
  }

  #key(name: string): Key {
    let key = this.#keys.get(name);
    if (key === undefined) {
      key = new Key(name);
      this.#keys.set(name, key);
    }
    return key;
  }

  #name(at: number): string {
    const { client, calledAt } = this.#history[at] as ListTransaction;
    return `client ${client} at ${calledAt}`;
  }

  #find(kind: ListFault, detail: string): void {
    this.#findings.push({ kind, detail });
  }

  #collectAppends({ steps }: ListTransaction, at: number): void {
    const last = new Map<string, number>();
    for (const step of steps) if (step.kind === 'append') last.set(step.key, step.value);
    for (const step of steps) {
      if (step.kind !== 'append') continue;
      const { writers } = this.#key(step.key);
      if (writers.has(step.value)) {
        throw new RangeError(`value ${step.value} is appended twice to ${step.key}`);
      }
      const isLast = last.get(step.key) === step.value;
      writers.set(step.value, { transaction: at, isLast });
    }
  }

  /** Reads are kept as the others left the list: without what the transaction itself had appended before. */
  #collectReads({ steps }: ListTransaction, at: number): void {
    const own = new Map<string, number[]>();
    const seen = new Map<string, readonly number[]>();
    for (const step of steps) {
      const mine = own.get(step.key) ?? [];
      own.set(step.key, mine);
      if (step.kind === 'append') {
        mine.push(step.value);
        continue;
      }
      const list = step.list ?? [];
      const before = list.slice(0, Math.max(0, list.length - mine.length));
      const earlier = seen.get(step.key);
      const isOwn = isEqual(list.slice(before.length), mine);
      if (!isOwn || (earlier !== undefined && !isEqual(earlier, before))) {
        this.#find(
          'internal',
          `${this.#name(at)} reads [${list.join()}] of ${step.key} against its own steps`,
        );
        continue;
      }
      seen.set(step.key, before);
      const key = this.#key(step.key);
      key.reads.push({ transaction: at, list, own: mine.length });
      if (list.length > key.longest.length) key.longest = list;
    }
  }

  #checkLists(key: Key): void {
    for (const { transaction, list, own } of key.reads) {
      const what = `${this.#name(transaction)} reads [${list.join()}] of ${key.name}`;
      if (!isPrefix(list, key.longest)) {
        this.#find('incompatible', `${what}, which does not begin [${key.longest.join()}]`);
      }
      if (new Set(list).size < list.length) this.#find('duplicated', what);
      for (const value of list) {
        const writer = key.writers.get(value);
        const origin = writer === undefined ? undefined : this.#history[writer.transaction];
        const readAt = this.#history[transaction]?.returned?.at ?? Number.POSITIVE_INFINITY;
        if (origin === undefined || origin.calledAt > readAt) {
          this.#find('phantom', `${what}, but nobody had appended ${value}`);
        } else if (origin.returned?.outcome === 'aborted') {
          this.#find('G1a', `${what}, but the append of ${value} was aborted`);
        }
      }
      const last = list[list.length - own - 1];
      const writer = last === undefined ? undefined : key.writers.get(last);
      if (writer !== undefined && writer.transaction !== transaction && !writer.isLast) {
        this.#find('G1b', `${what}, but ${last} is not the last of its transaction`);
      }
    }
  }

  /** Answers how many acknowledged values no read was called after. */
  #checkLost(key: Key): number {
    const reads = key.reads
      .map((read) => ({ ...read, calledAt: this.#history[read.transaction]?.calledAt ?? 0 }))
      .sort((a, b) => a.calledAt - b.calledAt);
    // Place in the longest list: a read has a value exactly where it is longer than that. Lists only get longer.
    const place = new Map(key.longest.map((value, at) => [value, at]));
    const shortestFrom: number[] = new Array<number>(reads.length).fill(0);
    let shortest = Number.POSITIVE_INFINITY;
    for (let i = reads.length - 1; i >= 0; i--) {
      shortest = Math.min(shortest, (reads[i] as ListRead).list.length);
      shortestFrom[i] = shortest;
    }
    let unread = 0;
    for (const [value, { transaction }] of key.writers) {
      const returned = this.#history[transaction]?.returned;
      if (returned?.outcome !== 'committed') continue;
      const first = firstAbove(reads, returned.at);
      if (first === reads.length) unread++;
      else if ((shortestFrom[first] as number) <= (place.get(value) ?? Number.POSITIVE_INFINITY)) {
        const detail = `${value}, acknowledged to ${this.#name(transaction)}, is missing in a later read of ${key.name}`;
        this.#find('lost', detail);
      }
    }
    return unread;
  }

  #addDependencies(key: Key): void {
    const writerAt = (at: number): number => {
      const value = key.longest[at];
      return (value === undefined ? undefined : key.writers.get(value)?.transaction) ?? -1;
    };
    for (let at = 1; at < key.longest.length; at++) {
      const [before, after] = [writerAt(at - 1), writerAt(at)];
      if (before >= 0 && after >= 0) this.#graph.add(before, after, ww);
    }
    for (const { transaction, list, own } of key.reads) {
      const seen = list.length - own;
      if (!isPrefix(list, key.longest)) continue;
      const read = writerAt(seen - 1);
      if (read >= 0) this.#graph.add(read, transaction, wr);
      const next = writerAt(list.length);
      if (next >= 0) this.#graph.add(transaction, next, rw);
    }
  }

  /** Each transaction after those that returned before its call, without what follows from that through others. */
  #addRealtime(): void {
    const events: { time: number; isCall: boolean; at: number }[] = [];
    this.#history.forEach(({ calledAt, returned }, at) => {
      if (returned?.outcome === 'aborted') return;
      events.push({ time: calledAt, isCall: true, at });
      if (returned !== null) events.push({ time: returned.at, isCall: false, at });
    });
    // Of equal times the call comes first: the two count as concurrent.
    events.sort((a, b) => a.time - b.time || Number(b.isCall) - Number(a.isCall));
    const frontier = new Set<number>();
    const before = new Map<number, readonly number[]>();
    for (const { isCall, at } of events) {
      if (isCall) {
        before.set(at, [...frontier]);
        for (const earlier of frontier) this.#graph.add(earlier, at, realtime);
        continue;
      }
      for (const earlier of before.get(at) ?? []) frontier.delete(earlier);
      before.delete(at);
      frontier.add(at);
    }
  }

  /** The gravest name for each component: what shows with fewer kinds of edges is not named again with more. */
  #findCycles(): void {
    const named = new Set<number>();
    for (const extra of [0, realtime]) {
      const suffix = extra === 0 ? '' : '-realtime';
      for (const [name, kinds] of [
        ['G0', ww],
        ['G1c', ww | wr],
        ['G2', ww | wr | rw],
      ] as const) {
        for (const component of this.#graph.components(kinds | extra)) {
          if (component.some((node) => named.has(node))) continue;
          for (const node of component) named.add(node);
          const cycle = this.#cycleIn(component, kinds | extra, name === 'G2');
          const fault = name === 'G2' && cycle.isSingle ? 'G-single' : name;
          this.#find(`${fault}${suffix}` as ListFault, cycle.detail);
        }
      }
    }
  }

  /** A short cycle through the component; one with a single rw where there is one and that matters. */
  #cycleIn(
    component: readonly number[],
    kinds: number,
    mayBeSingle: boolean,
  ): { isSingle: boolean; detail: string } {
    const within = new Set(component);
    let several: number[] | null = null;
    let triesLeft = cycleTriesMax;
    for (const from of component) {
      for (const { to, kind } of this.#graph.edgesOf(from)) {
        if (!within.has(to) || (kind & kinds) === 0 || (mayBeSingle && kind !== rw)) continue;
        const back = this.#graph.path(to, from, mayBeSingle ? kinds & ~rw : kinds, within);
        if (back !== null)
          return { isSingle: true, detail: this.#describe([from, ...back], kinds) };
        if (several === null) {
          const around = this.#graph.path(to, from, kinds, within);
          if (around !== null) several = [from, ...around];
        }
        if (--triesLeft === 0) break;
      }
      if (triesLeft === 0) break;
    }
    return { isSingle: false, detail: this.#describe(several ?? [...component], kinds) };
  }

  #describe(cycle: readonly number[], kinds: number): string {
    return cycle
      .map((node, at) => {
        const next = cycle[at + 1];
        const edge = this.#graph
          .edgesOf(node)
          .find(({ to, kind }) => to === next && (kind & kinds) !== 0);
        const arrow =
          edge === undefined ? '' : ` -${kindNames.find(([bit]) => bit === edge.kind)?.[1]}-> `;
        return `(${this.#name(node)})${arrow}`;
      })
      .join('');
  }
}

function isEqual(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && isPrefix(a, b);
}

function isPrefix(part: readonly number[], whole: readonly number[]): boolean {
  if (part.length > whole.length) return false;
  for (let i = 0; i < part.length; i++) if (part[i] !== whole[i]) return false;
  return true;
}

/** Position of the first read called after `time`. */
function firstAbove(reads: readonly { readonly calledAt: number }[], time: number): number {
  let low = 0;
  let high = reads.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((reads[middle] as { calledAt: number }).calledAt > time) high = middle;
    else low = middle + 1;
  }
  return low;
}
