// Checks a counter that is only counted up. A read may show what was acknowledged before it was called, and at most what
// was called before it returned: of an increment of unknown outcome all or nothing, never twice. So a retry that counted
// twice, and an acknowledged increment that went, both show in the first read after them.
//
//   low          a read shows less than what had been acknowledged
//   high         a read shows more than anybody had called
//   backwards    a read shows less than one that had returned before it was called
//   repeated     two increments answered the same value
//
// An increment may answer the value after it, which then counts as a read of that moment.

import type { HistoryOperation } from '../linearizability.ts';
import { type CheckReport, type Finding, reportOf } from './finding.ts';

export type CounterInput =
  | { readonly kind: 'increment'; readonly by: number }
  | { readonly kind: 'read' };
/** Of a read the value; of an increment the value after it, or true where it does not say. */
export type CounterOutput = number | true;
/** One key; its operations on other keys are histories of their own. */
export type CounterOperation = HistoryOperation<CounterInput, CounterOutput>;
export type CounterFault = 'low' | 'high' | 'backwards' | 'repeated';

/** What was seen, and when. */
interface Sight {
  readonly what: string;
  readonly calledAt: number;
  readonly returnedAt: number;
  readonly value: number;
}

/** `initial` is the value before the history. Throws RangeError where an increment is not positive. */
export function checkCounter(
  history: readonly CounterOperation[],
  initial = 0,
): CheckReport<CounterFault> {
  const findings: Finding<CounterFault>[] = [];
  const called: [number, number][] = [];
  const acknowledged: [number, number][] = [];
  const sights: Sight[] = [];
  const answers = new Set<number>();
  for (const { client, input, calledAt, returned } of history) {
    const what = `${input.kind} of client ${client} at ${calledAt}`;
    if (input.kind === 'increment') {
      if (!(Number.isSafeInteger(input.by) && input.by > 0)) {
        throw new RangeError(`an increment is positive, not ${input.by}`);
      }
      called.push([calledAt, input.by]);
      if (returned !== null) acknowledged.push([returned.at, input.by]);
    }
    if (returned === null || returned.output === true) continue;
    const value = returned.output;
    sights.push({ what, calledAt, returnedAt: returned.at, value });
    if (input.kind === 'read') continue;
    if (answers.has(value)) {
      findings.push({ kind: 'repeated', detail: `${what} answers ${value}, as another one did` });
    }
    answers.add(value);
  }
  const calledBefore = sumsOf(called);
  const acknowledgedBefore = sumsOf(acknowledged);
  for (const { what, calledAt, returnedAt, value } of sights) {
    const low = initial + acknowledgedBefore(calledAt, false);
    const high = initial + calledBefore(returnedAt, true);
    const detail = `${what} shows ${value}, where ${low} to ${high} is possible`;
    if (value < low) findings.push({ kind: 'low', detail });
    if (value > high) findings.push({ kind: 'high', detail });
  }
  findBackwards(sights, findings);
  const lastSight = Math.max(...sights.map(({ calledAt }) => calledAt), Number.NEGATIVE_INFINITY);
  const unread = acknowledged.filter(([at]) => at >= lastSight).length;
  return reportOf(findings, unread);
}

/** Sum of all amounts at times before `time`, or up to it. */
function sumsOf(amounts: [number, number][]): (time: number, isInclusive: boolean) => number {
  const sorted = amounts.sort((a, b) => a[0] - b[0]);
  const sums = [0];
  for (const [, by] of sorted) sums.push((sums.at(-1) as number) + by);
  return (time, isInclusive) => {
    let low = 0;
    let high = sorted.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const at = (sorted[middle] as [number, number])[0];
      if (at < time || (isInclusive && at === time)) low = middle + 1;
      else high = middle;
    }
    return sums[low] as number;
  };
}

function findBackwards(sights: readonly Sight[], findings: Finding<CounterFault>[]): void {
  const byReturn = [...sights].sort((a, b) => a.returnedAt - b.returnedAt);
  const byCall = [...sights].sort((a, b) => a.calledAt - b.calledAt);
  let highest: Sight | null = null;
  let next = 0;
  for (const sight of byCall) {
    for (; (byReturn[next] as Sight | undefined) !== undefined; next++) {
      const earlier = byReturn[next] as Sight;
      if (earlier.returnedAt >= sight.calledAt) break;
      if (highest === null || earlier.value > highest.value) highest = earlier;
    }
    if (highest === null || sight.value >= highest.value) continue;
    const detail = `${sight.what} shows ${sight.value} after the ${highest.what} showed ${highest.value}`;
    findings.push({ kind: 'backwards', detail });
  }
}
