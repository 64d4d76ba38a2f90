// What the process of a fault suite asks of its hosts, and what they answer.

import type { Percentiles } from '../latencies.ts';
import type { OutcomeBits } from './write-ledger.ts';

export interface FaultHostConfig {
  readonly nodeId: number;
  readonly directory: string;
  /** By place: where host i + 1 listens. */
  readonly addresses: readonly string[];
  readonly groups: number;
  readonly electionMsMin: number;
  readonly electionMsMax: number;
  readonly heartbeatMs: number;
  /** As of a host; null = its default. */
  readonly pendingBytesMax: number | null;
  /** Makes the data directory. */
  readonly create: boolean;
}

/** Milliseconds of a start, one step after the other. */
export interface StartTimes {
  /** From the start of the process to the call of Host.open. */
  readonly boot: number;
  /** Host.open: recovery of the log, then listening. */
  readonly open: number;
  /** Of that, recovery by its own report. */
  readonly recovery: number;
  /** createGroup for all groups. */
  readonly groups: number;
}

export interface LoadShape {
  readonly payload: number;
  readonly mode: 'closed' | 'open';
  /** Closed: writes awaited at any time. */
  readonly inflight: number;
  /** Open: writes offered a second, whatever becomes of them. */
  readonly rate: number;
  /** Groups that are written to, while they are led here. */
  readonly groups: readonly number[];
}

/** What happened since the last sample. */
export interface LoadSample {
  readonly seconds: number;
  readonly offered: number;
  readonly ok: number;
  readonly errors: Readonly<Record<string, number>>;
  readonly latencies: Percentiles;
}

/** A whole load, after its last promise has settled. */
export interface LoadEnd {
  readonly offered: number;
  readonly ok: number;
  readonly errors: Readonly<Record<string, number>>;
  /** Promises that had not settled when the wait for them ended. */
  readonly unsettled: number;
  readonly outcomes: OutcomeBits;
}

export interface GroupState {
  readonly group: number;
  readonly term: number;
  readonly leader: number;
  readonly appliedIndex: number;
  readonly count: number;
  readonly hash: number;
}

export interface FaultTotals {
  readonly cpuSeconds: number;
  readonly rssMiB: number;
  /** Highest since the last answer, looked at every 20 ms. */
  readonly rssMiBPeak: number;
  readonly heapMiB: number;
  readonly externalMiB: number;
  readonly metrics: Readonly<Record<string, number>>;
}

/** Writes of other hosts' ledgers that this process has applied. */
export interface AppliedBits {
  readonly repeated: number;
  readonly byNode: readonly (readonly [nodeId: number, bits: Uint32Array])[];
}

/** First acknowledged write of a group after watch(), by the machine's monotonic clock in ms. */
export type Served = readonly (readonly [group: number, atMs: number])[];

export interface FaultRequests {
  open: { readonly ask: FaultHostConfig; readonly answer: StartTimes };
  lead: { readonly ask: readonly number[]; readonly answer: null };
  campaign: { readonly ask: readonly number[]; readonly answer: null };
  load: { readonly ask: LoadShape; readonly answer: null };
  sample: { readonly ask: null; readonly answer: LoadSample };
  /** Stops offering and waits for what is under way, for at most so many ms. */
  endLoad: { readonly ask: number; readonly answer: LoadEnd };
  /** Writes once to each of these groups as soon as this host leads it. */
  watch: { readonly ask: readonly number[]; readonly answer: null };
  served: { readonly ask: null; readonly answer: Served };
  state: { readonly ask: null; readonly answer: GroupState[] };
  applied: { readonly ask: null; readonly answer: AppliedBits };
  totals: { readonly ask: null; readonly answer: FaultTotals };
  slowSync: { readonly ask: number; readonly answer: null };
  close: { readonly ask: null; readonly answer: null };
}

export type FaultRequestName = keyof FaultRequests;
export interface FaultRequest {
  readonly id: number;
  readonly name: FaultRequestName;
  readonly ask: unknown;
}
export interface FaultAnswer {
  readonly id: number;
  readonly answer: unknown;
  readonly error: string | null;
}

/** Milliseconds of a clock that all processes of a machine share. */
export function machineMs(): number {
  return Number(process.hrtime.bigint() / 1000n) / 1000;
}
