// Is a history of concurrent operations linearizable? The search of Wing and Gong in Lowe's form: take operations in
// some order that agrees with real time, undo where the model says no, and remember each (set of operations taken,
// state) so that it is tried once. Keys are independent, so each is searched alone (P-compositionality).
//
// An operation whose outcome is unknown may have happened at any time after its call, or never. The search is bounded
// by a number of steps, not by time, so a verdict is the same on every machine; running out of it is 'unknown', which
// is not a pass. A violation comes with a small history that shows it.

/** One call as its client saw it. Times are of one clock for all clients; equal times count as concurrent. */
export interface HistoryOperation<Input, Output> {
  readonly client: number;
  readonly key: string;
  readonly input: Input;
  readonly calledAt: number;
  /** null: the outcome is unknown. An operation that certainly did not happen does not belong into a history. */
  readonly returned: { readonly at: number; readonly output: Output } | null;
}

/** What one key does when operations come one after the other. */
export interface SequentialModel<State, Input, Output> {
  initial(): State;
  /** The state after the operation, or `illegal` where it cannot have this output; `output` is absent where unknown. */
  step(state: State, input: Input, output: Output | undefined): State | typeof illegal;
  hash(state: State): number;
  equal(a: State, b: State): boolean;
  /**
   * Equal for two inputs that do the same, in every state. Of operations of unknown outcome that ask for the same only
   * the one called first is tried; without this method every one is.
   */
  inputKey?(input: Input): string;
  /**
   * Tells of each of these operations whether leaving it out, alone or with other such ones, keeps a linearizable
   * history linearizable (a read; an update that nobody saw). They are left out where their outcome is unknown, and to
   * make a counter-example small.
   */
  dispensable(
    operations: readonly HistoryOperation<Input, Output>[],
  ): (operation: HistoryOperation<Input, Output>) => boolean;
}

/** Answer of SequentialModel.step where the operation is not possible in that state. */
export const illegal: unique symbol = Symbol('illegal');

export type Linearizability<Input, Output> =
  | { readonly verdict: 'ok'; readonly steps: number; readonly keys: number }
  | { readonly verdict: 'unknown'; readonly steps: number; readonly key: string }
  | {
      readonly verdict: 'violation';
      readonly steps: number;
      readonly key: string;
      /** Operations of that key that cannot be put in order, by time of call; those still running count as unknown. */
      readonly counterExample: readonly HistoryOperation<Input, Output>[];
    };

export interface CheckOptions {
  /** Steps of the search for one key, default 2,000,000. */
  readonly stepsMax?: number;
}

const firstBudget = 10_000;
const shrinkStepsMin = 50_000;
const shrinkFactor = 4;

/** Checks every key; a violation wins over an unknown. */
export function checkLinearizable<State, Input, Output>(
  model: SequentialModel<State, Input, Output>,
  history: readonly HistoryOperation<Input, Output>[],
  options: CheckOptions = {},
): Linearizability<Input, Output> {
  const stepsMax = options.stepsMax ?? 2_000_000;
  const byKey = new Map<string, HistoryOperation<Input, Output>[]>();
  for (const operation of history) {
    checkTimes(operation);
    const ofKey = byKey.get(operation.key);
    if (ofKey === undefined) byKey.set(operation.key, [operation]);
    else ofKey.push(operation);
  }
  let steps = 0;
  let open = [...byKey];
  // All keys with a small budget first: what is broken is often found soon, and a hard key must not stand before it.
  for (let budget = Math.min(firstBudget, stepsMax); ; budget = Math.min(budget * 10, stepsMax)) {
    const left: typeof open = [];
    for (const each of open) {
      const [key, operations] = each;
      const search = searchKey(model, operations, budget);
      steps += search.steps;
      if (search.verdict === 'unknown') left.push(each);
      if (search.verdict !== 'violation') continue;
      const counterExample = shrink(model, operations, search.steps);
      return { verdict: 'violation', steps, key, counterExample };
    }
    open = left;
    const [first] = open;
    if (first === undefined) return { verdict: 'ok', steps, keys: byKey.size };
    if (budget === stepsMax) return { verdict: 'unknown', steps, key: first[0] };
  }
}

function checkTimes(operation: HistoryOperation<unknown, unknown>): void {
  const { calledAt, returned } = operation;
  if (!Number.isFinite(calledAt) || (returned !== null && !(returned.at >= calledAt))) {
    throw new RangeError(`an operation on ${operation.key} returned before it was called`);
  }
}

interface SearchEnd {
  readonly verdict: 'ok' | 'violation' | 'unknown';
  readonly steps: number;
}

/** A call or a return in the list of what is not taken yet, in order of time. */
class Node {
  /** Position among the operations whose outcome is known, or among those whose outcome is not. */
  readonly operation: number;
  readonly time: number;
  /** Of a call: its return, null where unknown. Of a return: undefined. */
  match: Node | null | undefined;
  /** Of a call of unknown outcome: the call before it that asks for the same; null where there is none. */
  twin: Node | null = null;
  isTaken = false;
  previous: Node | null = null;
  next: Node | null = null;

  constructor(operation: number, time: number, match: Node | null | undefined) {
    this.operation = operation;
    this.time = time;
    this.match = match;
  }

  get isReturn(): boolean {
    return this.match === undefined;
  }
}

/**
 * Calls of known outcome stand in one list with their returns, in order of time; those of unknown outcome, which have no
 * return and need not be taken at all, in one of their own. At every place the known ones are tried first.
 */
function searchKey<State, Input, Output>(
  model: SequentialModel<State, Input, Output>,
  all: readonly HistoryOperation<Input, Output>[],
  stepsMax: number,
): SearchEnd {
  const isDispensable = model.dispensable(all);
  const known = all.filter((each) => each.returned !== null);
  const unknown = all.filter((each) => each.returned === null && !isDispensable(each));
  const head = nodesOf(known);
  const openHead = nodesOf(unknown);
  findTwins(model, openHead, unknown);
  const taken = new TakenSet(known.length);
  const spent = new TakenSet(unknown.length);
  const seen = new SeenStates<State>(model);
  const undo: { node: Node; state: State }[] = [];
  let state = model.initial();
  let leftToReturn = known.length;
  let node = head.next;
  /** When the first of the operations that are not taken returns: what is called later cannot come before it. */
  let limit = 0;
  for (let steps = 1; ; steps++) {
    if (leftToReturn === 0) return { verdict: 'ok', steps };
    if (steps > stepsMax) return { verdict: 'unknown', steps };
    if (node?.isReturn === true) {
      limit = node.time;
      node = openHead.next;
    }
    if (node === null || (node.match === null && node.time > limit)) {
      // The operation that returns first was not taken in time: what was taken last must come later.
      const last = undo.pop();
      if (last === undefined) return { verdict: 'violation', steps };
      state = last.state;
      putBack(last.node);
      if (last.node.match === null) {
        spent.remove(last.node.operation);
        // The first return is what it was before this one was taken: it removed none from the list.
        limit = firstReturn(head);
      } else {
        taken.remove(last.node.operation);
        leftToReturn += 1;
      }
      node = last.node.next;
      continue;
    }
    const isOpen: boolean = node.match === null;
    if (isOpen && node.twin !== null && !node.twin.isTaken) {
      // Whatever this one could do, its twin, which was called before it, can do as well.
      node = node.next;
      continue;
    }
    const operation = (isOpen ? unknown : known)[node.operation] as HistoryOperation<Input, Output>;
    const next = model.step(state, operation.input, operation.returned?.output);
    if (next !== illegal) {
      const set = isOpen ? spent : taken;
      set.add(node.operation);
      if (seen.add(taken, spent, next)) {
        undo.push({ node, state });
        state = next;
        if (!isOpen) leftToReturn -= 1;
        takeOut(node);
        node = head.next;
        continue;
      }
      set.remove(node.operation);
    }
    node = node.next;
  }
}

function firstReturn(head: Node): number {
  let node = head.next;
  while (node !== null && !node.isReturn) node = node.next;
  return node === null ? Number.POSITIVE_INFINITY : node.time;
}

/** Links each call of unknown outcome to the one before it that asks for the same. */
function findTwins<Input>(
  model: { inputKey?(input: Input): string },
  head: Node,
  operations: readonly HistoryOperation<Input, unknown>[],
): void {
  if (model.inputKey === undefined) return;
  const latest = new Map<string, Node>();
  for (let node = head.next; node !== null; node = node.next) {
    const key = model.inputKey(
      (operations[node.operation] as HistoryOperation<Input, unknown>).input,
    );
    node.twin = latest.get(key) ?? null;
    latest.set(key, node);
  }
}

/** The head of a list of calls and returns; of equal times calls come first, so that they count as concurrent. */
function nodesOf(operations: readonly HistoryOperation<unknown, unknown>[]): Node {
  const nodes: Node[] = [];
  operations.forEach((operation, i) => {
    const { returned } = operation;
    const end = returned === null ? null : new Node(i, returned.at, undefined);
    nodes.push(new Node(i, operation.calledAt, end));
    if (end !== null) nodes.push(end);
  });
  nodes.sort((a, b) => a.time - b.time || Number(a.isReturn) - Number(b.isReturn));
  const head = new Node(-1, 0, null);
  let last = head;
  for (const node of nodes) {
    last.next = node;
    node.previous = last;
    last = node;
  }
  return head;
}

function takeOut(call: Node): void {
  call.isTaken = true;
  unlink(call);
  if (call.match != null) unlink(call.match);
}

/** The exact reverse of takeOut: each node still knows its neighbours. */
function putBack(call: Node): void {
  call.isTaken = false;
  if (call.match != null) relink(call.match);
  relink(call);
}

function unlink(node: Node): void {
  if (node.previous !== null) node.previous.next = node.next;
  if (node.next !== null) node.next.previous = node.previous;
}

function relink(node: Node): void {
  if (node.previous !== null) node.previous.next = node;
  if (node.next !== null) node.next.previous = node;
}

/** A set of operation numbers with a hash that is kept up to date. */
class TakenSet {
  readonly words: Uint32Array;
  hash = 0;

  constructor(size: number) {
    this.words = new Uint32Array(Math.ceil(size / 32));
  }

  add(i: number): void {
    this.#flip(i);
  }

  remove(i: number): void {
    this.#flip(i);
  }

  #flip(i: number): void {
    const word = i >>> 5;
    this.words[word] = (this.words[word] as number) ^ (1 << (i & 31));
    let h = Math.imul(i + 1, 0x9e3779b1);
    h = Math.imul(h ^ (h >>> 15), 0x85ebca6b);
    this.hash ^= h ^ (h >>> 13);
  }
}

type StateIdentity<State> = Pick<SequentialModel<State, unknown, unknown>, 'hash' | 'equal'>;

interface Reached<State> {
  readonly taken: Uint32Array;
  readonly spent: Uint32Array;
  readonly state: State;
}

/**
 * Which (taken, spent, state) were reached before. One that has the same operations of known outcome behind it, the same
 * state and fewer of unknown outcome spent can do all that this one can: then there is nothing to search here.
 */
class SeenStates<State> {
  readonly #model: StateIdentity<State>;
  readonly #buckets: Map<number, Reached<State>[]> = new Map();

  constructor(model: StateIdentity<State>) {
    this.#model = model;
  }

  /** False where it was there already, or one that is better in every respect. */
  add(taken: TakenSet, spent: TakenSet, state: State): boolean {
    const hash = taken.hash ^ Math.imul(this.#model.hash(state), 0xc2b2ae35);
    const bucket = this.#buckets.get(hash);
    if (bucket === undefined) {
      this.#buckets.set(hash, [reached(taken, spent, state)]);
      return true;
    }
    for (let i = 0; i < bucket.length; i++) {
      const known = bucket[i] as Reached<State>;
      if (!this.#model.equal(known.state, state) || !isSame(known.taken, taken.words)) continue;
      if (isSubset(known.spent, spent.words)) return false;
    }
    bucket.push(reached(taken, spent, state));
    return true;
  }
}

function reached<State>(taken: TakenSet, spent: TakenSet, state: State): Reached<State> {
  // Most histories have few operations of unknown outcome, many none.
  const spentWords = spent.words.length === 0 ? spent.words : spent.words.slice();
  return { taken: taken.words.slice(), spent: spentWords, state };
}

function isSame(a: Uint32Array, b: Uint32Array): boolean {
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

function isSubset(part: Uint32Array, whole: Uint32Array): boolean {
  for (let i = 0; i < part.length; i++) {
    if (((part[i] as number) & ~(whole[i] as number)) !== 0) return false;
  }
  return true;
}

/**
 * A smaller history that is still a violation: first the shortest prefix in time (what has not returned by then is
 * unknown), then without each operation that cannot be the reason for a violation by being absent. The attempts together
 * may take several times the steps that finding the violation took; then what remains is not made smaller.
 */
function shrink<State, Input, Output>(
  model: SequentialModel<State, Input, Output>,
  operations: readonly HistoryOperation<Input, Output>[],
  stepsTaken: number,
): readonly HistoryOperation<Input, Output>[] {
  let stepsLeft = shrinkStepsMin + shrinkFactor * stepsTaken;
  const isViolation = (some: readonly HistoryOperation<Input, Output>[]): boolean => {
    const { verdict, steps } = searchKey(model, some, stepsLeft);
    stepsLeft -= steps;
    return verdict === 'violation';
  };
  const returns = operations.flatMap(({ returned }) => (returned === null ? [] : [returned.at]));
  const ends = [...new Set(returns)].sort((a, b) => a - b);
  let low = 0;
  let high = ends.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (isViolation(prefix(operations, ends[middle] as number))) high = middle;
    else low = middle + 1;
  }
  let kept = prefix(operations, ends[low] as number);
  for (let before = -1; before !== kept.length; ) {
    before = kept.length;
    kept = withoutDispensable(model, kept, isViolation);
  }
  return kept.sort((a, b) => a.calledAt - b.calledAt);
}

/** Leaves out dispensable operations as long as what remains is a violation: in large pieces first, then one by one. */
function withoutDispensable<State, Input, Output>(
  model: SequentialModel<State, Input, Output>,
  operations: readonly HistoryOperation<Input, Output>[],
  isViolation: (some: readonly HistoryOperation<Input, Output>[]) => boolean,
): HistoryOperation<Input, Output>[] {
  let kept = [...operations];
  let candidates = kept.filter(model.dispensable(kept));
  for (let size = candidates.length; size >= 1; size = Math.floor(size / 2)) {
    const tried: HistoryOperation<Input, Output>[] = [];
    for (let at = 0; at < candidates.length; at += size) {
      const piece = candidates.slice(at, at + size);
      const without = kept.filter((each) => !piece.includes(each));
      if (isViolation(without)) kept = without;
      else tried.push(...piece);
    }
    candidates = tried;
  }
  return kept;
}

function prefix<Input, Output>(
  operations: readonly HistoryOperation<Input, Output>[],
  end: number,
): HistoryOperation<Input, Output>[] {
  return operations
    .filter(({ calledAt }) => calledAt <= end)
    .map((each) =>
      each.returned !== null && each.returned.at > end ? { ...each, returned: null } : each,
    );
}
