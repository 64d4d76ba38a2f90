// A register with read, write and compare-and-set as a sequential model, and a recorder for histories of it. Values
// are strings, null is "absent". Written values should be unique: the search is quicker, and a lost update shows.

import { hashString } from './hash.ts';
import { type HistoryOperation, illegal, type SequentialModel } from './linearizability.ts';

export type RegisterValue = string | null;

export type RegisterInput =
  | { readonly kind: 'read' }
  | { readonly kind: 'write'; readonly value: RegisterValue }
  | { readonly kind: 'cas'; readonly expected: RegisterValue; readonly value: RegisterValue };

/** Of a read the value; of a write true; of a compare-and-set whether it did set. */
export type RegisterOutput = RegisterValue | boolean;

export type RegisterOperation = HistoryOperation<RegisterInput, RegisterOutput>;

/** `initial` is what every key holds before the history begins. */
export function registerModel(
  initial: RegisterValue = null,
): SequentialModel<RegisterValue, RegisterInput, RegisterOutput> {
  return {
    initial: () => initial,
    step(state, input, output) {
      if (input.kind === 'write') return input.value;
      if (input.kind === 'read') return output === undefined || output === state ? state : illegal;
      const isSet = state === input.expected;
      if (output !== undefined && output !== isSet) return illegal;
      return isSet ? input.value : state;
    },
    hash: (state) => (state === null ? 0x51ed270b : hashString(state)),
    equal: (a, b) => a === b,
    inputKey,
    dispensable,
  };
}

function inputKey(input: RegisterInput): string {
  if (input.kind === 'read') return 'read';
  const value = JSON.stringify(input.value);
  return input.kind === 'write'
    ? `write ${value}`
    : `cas ${JSON.stringify(input.expected)} ${value}`;
}

/**
 * What changes no state, and updates whose value nobody saw or waits for; with a refused compare-and-set about, any
 * update may be what it was refused for.
 */
function dispensable(
  operations: readonly RegisterOperation[],
): (operation: RegisterOperation) => boolean {
  const seen = new Set<RegisterValue>();
  let hasRefusal = false;
  for (const { input, returned } of operations) {
    if (input.kind === 'cas') {
      seen.add(input.expected);
      hasRefusal ||= returned?.output === false;
    }
    if (input.kind === 'read' && returned !== null) seen.add(returned.output as RegisterValue);
  }
  return ({ input, returned }) => {
    if (input.kind === 'read' || (input.kind === 'cas' && returned?.output === false)) return true;
    return !hasRefusal && !seen.has(input.value);
  };
}

/** Collects a history while clients run. Every call ends in exactly one of returned, unknown, failed. */
export class HistoryRecorder<Input, Output> {
  readonly #now: () => number;
  readonly #ended: HistoryOperation<Input, Output>[] = [];
  readonly #open: Set<HistoryOperation<Input, Output>> = new Set();

  /** `now` is one clock for all clients. */
  constructor(now: () => number) {
    this.#now = now;
  }

  call(client: number, key: string, input: Input): RecordedCall<Output> {
    const open = { client, key, input, calledAt: this.#now(), returned: null };
    this.#open.add(open);
    const end = (operation: HistoryOperation<Input, Output> | null): void => {
      if (!this.#open.delete(open)) throw new Error('this call has ended already');
      if (operation !== null) this.#ended.push(operation);
    };
    return {
      returned: (output) => end({ ...open, returned: { at: this.#now(), output } }),
      unknown: () => end(open),
      failed: () => end(null),
    };
  }

  /** Everything so far; calls that have not ended count as unknown. */
  history(): HistoryOperation<Input, Output>[] {
    return [...this.#ended, ...this.#open].sort((a, b) => a.calledAt - b.calledAt);
  }
}

export interface RecordedCall<Output> {
  returned(output: Output): void;
  /** It may have happened, or may still happen. */
  unknown(): void;
  /** It certainly did not happen and never will. */
  failed(): void;
}

/** One line an operation, for a report. */
export function describeRegisterOperation(operation: RegisterOperation): string {
  const { client, calledAt, input, returned } = operation;
  const what =
    input.kind === 'read'
      ? 'read'
      : input.kind === 'write'
        ? `write ${JSON.stringify(input.value)}`
        : `cas ${JSON.stringify(input.expected)} -> ${JSON.stringify(input.value)}`;
  const end = returned === null ? '?' : `${returned.at} = ${JSON.stringify(returned.output)}`;
  return `client ${client}  ${what}  [${calledAt} .. ${end}]`;
}
