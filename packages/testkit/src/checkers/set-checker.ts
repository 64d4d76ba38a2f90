// Checks a set into which unique elements are added, and which is read as a whole. Linear in the size of the reads; it
// says by name what went wrong where the linearizability search could only say that something did.
//
// An element is known from the moment its addition was acknowledged or a read that had it returned. A read that is
// called after that and misses it is wrong. What the reads after it say gives the fault its name:
//   lost          no read that was called later has it
//   stale         it had been acknowledged, and the next reads have it
//   resurrected   a read had it already, this one has not, a later one has it again
// Two more show at once:
//   duplicated    one read has the element twice
//   phantom       nobody tried to add it, or only after the read had returned
//
// Additions of unknown outcome may appear at any time after their call, or never; they may not go again.

import type { HistoryOperation } from '../linearizability.ts';
import { type CheckReport, type Finding, reportOf } from './finding.ts';

export type SetInput =
  | { readonly kind: 'add'; readonly element: string }
  | { readonly kind: 'read' };
/** Of a read the elements, in any order. */
export type SetOutput = readonly string[] | true;
/** One key; its operations on other keys are histories of their own. */
export type SetOperation = HistoryOperation<SetInput, SetOutput>;
export type SetFault = 'lost' | 'stale' | 'resurrected' | 'duplicated' | 'phantom';

interface Read {
  readonly client: number;
  readonly calledAt: number;
  readonly returnedAt: number;
  readonly elements: ReadonlySet<string>;
}

/** Throws RangeError where an element is added twice. */
export function checkSet(history: readonly SetOperation[]): CheckReport<SetFault> {
  const findings: Finding<SetFault>[] = [];
  const additions = additionsOf(history);
  const reads = readsOf(history, additions, findings);
  let unread = 0;
  for (const [element, { returned }] of additions) {
    const acknowledgedAt = returned?.at ?? Number.POSITIVE_INFINITY;
    const fault = missing(element, acknowledgedAt, reads);
    if (fault !== null) findings.push(fault);
    const isLate = reads.some(({ calledAt }) => calledAt > acknowledgedAt);
    if (returned !== null && !isLate) unread++;
  }
  return reportOf(findings, unread);
}

function additionsOf(history: readonly SetOperation[]): Map<string, SetOperation> {
  const additions = new Map<string, SetOperation>();
  for (const operation of history) {
    if (operation.input.kind === 'read') continue;
    const { element } = operation.input;
    if (additions.has(element)) throw new RangeError(`element ${element} is added twice`);
    additions.set(element, operation);
  }
  return additions;
}

/** The reads that returned, by time of call. */
function readsOf(
  history: readonly SetOperation[],
  additions: ReadonlyMap<string, SetOperation>,
  findings: Finding<SetFault>[],
): Read[] {
  const reads: Read[] = [];
  for (const { client, input, calledAt, returned } of history) {
    if (input.kind !== 'read' || returned === null) continue;
    const elements = new Set<string>();
    for (const element of returned.output === true ? [] : returned.output) {
      const where = `the read of client ${client} at ${calledAt}`;
      if (elements.has(element)) {
        findings.push({ kind: 'duplicated', detail: `${where} has ${element} twice` });
      }
      elements.add(element);
      const addedAt = additions.get(element)?.calledAt ?? Number.POSITIVE_INFINITY;
      if (addedAt > returned.at) {
        findings.push({ kind: 'phantom', detail: `${where} has ${element}, which was not added` });
      }
    }
    reads.push({ client, calledAt, returnedAt: returned.at, elements });
  }
  return reads.sort((a, b) => a.calledAt - b.calledAt);
}

/** The first read that had to have the element and has not, with the name of that fault. */
function missing(
  element: string,
  acknowledgedAt: number,
  reads: readonly Read[],
): Finding<SetFault> | null {
  let seenAt = Number.POSITIVE_INFINITY;
  for (const { elements, returnedAt } of reads) {
    if (elements.has(element)) seenAt = Math.min(seenAt, returnedAt);
  }
  const knownAt = Math.min(acknowledgedAt, seenAt);
  const at = reads.findIndex((read) => read.calledAt > knownAt && !read.elements.has(element));
  const read = reads[at];
  if (read === undefined) return null;
  const isBack = reads.some(
    (later) => later.calledAt > read.returnedAt && later.elements.has(element),
  );
  const kind = !isBack ? 'lost' : seenAt < read.calledAt ? 'resurrected' : 'stale';
  const known = seenAt < acknowledgedAt ? `read at ${seenAt}` : `acknowledged at ${acknowledgedAt}`;
  const detail = `${element}, ${known}, is missing in the read of client ${read.client} at ${read.calledAt}`;
  return { kind, detail };
}
