// Which writes were answered how, and which were applied: one bit a write, so that a run of millions can be held against
// what the replicas have, write by write.
//
// Every write carries the node id of the host that proposed it and its number there. The proposing host notes the outcome,
// each replica's state machine notes the application; the suite compares the two at the end (checkOutcomes).

import type { ApplyBatch, StateMachine } from '@flotilla/host';

/** Smallest payload of a write that carries its identity. */
export const identityBytes = 8;

/** Bits that grow by need. */
export class BitSet {
  words: Uint32Array = new Uint32Array(1024);
  size = 0;

  /** False where the bit was set before. */
  add(bit: number): boolean {
    const word = bit >>> 5;
    if (word >= this.words.length) {
      const grown = new Uint32Array(Math.max(word + 1, this.words.length * 2));
      grown.set(this.words);
      this.words = grown;
    }
    const mask = 1 << (bit & 31);
    const before = this.words[word] as number;
    if ((before & mask) !== 0) return false;
    this.words[word] = before | mask;
    this.size++;
    return true;
  }

  /** The part that holds bits; safe to send to another process. */
  snapshot(): Uint32Array {
    return this.words.slice();
  }
}

/** What one process has applied, by the host that proposed it. */
export class AppliedWrites {
  readonly byNode: Map<number, BitSet> = new Map();
  /** Writes that one replica was given twice. */
  repeated = 0;

  /** Node 0 stands for writes without an identity. */
  note(nodeId: number, number: number): void {
    if (nodeId === 0) return;
    let applied = this.byNode.get(nodeId);
    if (applied === undefined) this.byNode.set(nodeId, (applied = new BitSet()));
    if (!applied.add(number)) this.repeated++;
  }
}

/** Counts commands, notes their identities, and keeps a rolling hash of their order. */
export class LedgerMachine implements StateMachine {
  count = 0;
  #hash = 0x811c9dc5;
  readonly #applied: AppliedWrites;

  constructor(applied: AppliedWrites) {
    this.#applied = applied;
  }

  apply(batch: ApplyBatch): void {
    let hash = this.#hash;
    for (let i = 0; i < batch.count; i++) {
      const bytes = batch.bytesOf(i);
      const at = batch.startOf(i);
      const number = u32(bytes, at);
      const nodeId = u32(bytes, at + 4);
      this.#applied.note(nodeId, number);
      hash = Math.imul(hash ^ number, 0x01000193);
      hash = Math.imul(hash ^ nodeId, 0x01000193);
    }
    this.#hash = hash;
    this.count += batch.count;
  }

  stateHash(): number {
    return this.#hash >>> 0;
  }
}

/** Writes an identity over the start of a payload. */
export function putIdentity(payload: Uint8Array, nodeId: number, number: number): void {
  for (let i = 0; i < 4; i++) {
    payload[i] = (number >>> (8 * i)) & 0xff;
    payload[4 + i] = (nodeId >>> (8 * i)) & 0xff;
  }
}

function u32(bytes: Uint8Array, at: number): number {
  return (
    ((bytes[at] as number) |
      ((bytes[at + 1] as number) << 8) |
      ((bytes[at + 2] as number) << 16) |
      ((bytes[at + 3] as number) << 24)) >>>
    0
  );
}

/** Outcomes of one host's writes as it sends them to the suite. */
export interface OutcomeBits {
  readonly nodeId: number;
  /** Resolved. */
  readonly ok: Uint32Array;
  /** Rejected with a code that says that nothing happened. */
  readonly refused: Uint32Array;
}

export interface OutcomeVerdict {
  /** Resolved, and not applied on some replica. */
  readonly lost: number;
  /** Refused for certain, and applied all the same. */
  readonly phantoms: number;
}

/** Holds the outcomes of one host's writes against what one replica's process has applied of them. */
export function checkOutcomes(outcomes: OutcomeBits, applied: Uint32Array): OutcomeVerdict {
  let lost = 0;
  let phantoms = 0;
  const words = Math.max(outcomes.ok.length, outcomes.refused.length);
  for (let i = 0; i < words; i++) {
    const there = applied[i] ?? 0;
    lost += bitCount((outcomes.ok[i] ?? 0) & ~there);
    phantoms += bitCount((outcomes.refused[i] ?? 0) & there);
  }
  return { lost, phantoms };
}

export function bitCount(word: number): number {
  let rest = word - ((word >>> 1) & 0x55555555);
  rest = (rest & 0x33333333) + ((rest >>> 2) & 0x33333333);
  return Math.imul((rest + (rest >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24;
}
