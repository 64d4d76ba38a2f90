// What status pages are told of a host and of its replicas. Plain data: it leaves as JSON (FLOTILLA STATUS and GROUPS).

import type { GroupStatus } from '@flotilla/host';

/** What only the program around a host knows of its process; shown by INFO and FLOTILLA STATUS. */
export interface ProcessFigures {
  readonly pid: number;
  readonly rssBytes: number;
  readonly heapBytes: number;
}

/** A group as this host sees it. */
export interface KvGroupStatus extends GroupStatus {
  /** Keys in the local replica; 0 for the map group. */
  readonly keys: number;
  readonly stateHash: number;
}

export interface KvHostStatus {
  readonly id: number;
  readonly pid: number;
  readonly rssMiB: number;
  /** Replicas here, and those of them that lead. */
  readonly groups: number;
  readonly leaders: number;
  readonly walBytes: number;
  /** 0 while the map is not known here. */
  readonly mapVersion: number;
  /** The map is known and all of this host's replicas stand. */
  readonly isSettled: boolean;
  /** Where clients and peers reach each host, as the map has it. */
  readonly hosts: readonly { readonly id: number; readonly resp: string; readonly peer: string }[];
  readonly counters: Readonly<Record<string, number>>;
  readonly metrics: Readonly<Record<string, number>>;
}
