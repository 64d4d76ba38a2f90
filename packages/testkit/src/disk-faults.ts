// What goes wrong on a simulated disk, as data: rules that match operations, and how long operations take. A rule can
// be written before the run, so that a failing schedule can be shrunk by leaving rules out.

import type { SimRng } from './sim-rng.ts';

export type DiskOp =
  | 'open'
  | 'close'
  | 'writev'
  | 'read'
  | 'datasync'
  | 'truncate'
  | 'syncDir'
  | 'mkdir'
  | 'rename'
  | 'unlink'
  | 'link'
  | 'volume'
  | 'list'
  | 'stat'
  | 'lock';

/** One operation as it was asked for. */
export interface DiskCall {
  /** Counts from 1 over the life of the disk. */
  readonly number: number;
  readonly op: DiskOp;
  readonly path: string;
  /** The other name of a rename, else empty. */
  readonly toPath: string;
  readonly offset: number;
  /** Bytes asked for. */
  readonly bytes: number;
}

export type FaultEffect =
  /** Fails; of a write, `none` (default), a random `part` or `all` of the bytes get into the file all the same. */
  | { readonly kind: 'error'; readonly code: string; readonly applied?: 'none' | 'part' | 'all' }
  /** A read or write stops after this many bytes (at least 1 of a write), without an error. */
  | { readonly kind: 'short'; readonly bytes: number | ((asked: number) => number) }
  /**
   * A failed sync. `dropped`: the pages count as clean, stay readable and never reach the disk, and the next sync
   * "succeeds" (ext4, xfs). `rolledBack`: the file shows its durable content again (btrfs). `kept`: still dirty.
   */
  | {
      readonly kind: 'syncError';
      readonly code: string;
      readonly pages: 'dropped' | 'rolledBack' | 'kept';
    }
  /** Takes this much longer. */
  | { readonly kind: 'delay'; readonly delayUs: number }
  /** Never completes. */
  | { readonly kind: 'hang' };

export interface FaultRule {
  /** Operations it is about; absent = all. */
  readonly op?: DiskOp | readonly DiskOp[];
  /** Paths it is about; a string must be the whole path or, with a leading `*`, its end. */
  readonly path?: string | RegExp | ((path: string) => boolean);
  /** Matching operations that pass unharmed first, default 0. */
  readonly after?: number;
  /** Matching operations that are hit, default 1. */
  readonly times?: number;
  /** Chance that a matching operation is hit at all, default 1. */
  readonly probability?: number;
  readonly effect: FaultEffect;
}

/** A rule in force. */
export class PlannedFault {
  readonly rule: FaultRule;
  /** Operations that matched so far, and of those, the ones that were hit. */
  matches = 0;
  hits = 0;
  active = true;

  constructor(rule: FaultRule) {
    this.rule = rule;
  }

  remove(): void {
    this.active = false;
  }

  /** The effect on this call, or null; where another rule has hit it already it is only counted as a match. */
  effectOn(call: DiskCall, rng: SimRng, isHit: boolean): FaultEffect | null {
    const rule = this.rule;
    if (!this.active || !matches(rule, call)) return null;
    this.matches += 1;
    if (isHit || this.matches <= (rule.after ?? 0) || this.hits >= (rule.times ?? 1)) return null;
    if (rule.probability !== undefined && !rng.chance(rule.probability)) return null;
    this.hits += 1;
    return rule.effect;
  }
}

function matches(rule: FaultRule, call: DiskCall): boolean {
  const { op, path } = rule;
  if (op !== undefined && !(typeof op === 'string' ? op === call.op : op.includes(call.op))) {
    return false;
  }
  if (path === undefined) return true;
  if (typeof path === 'function') return path(call.path);
  if (typeof path !== 'string') return path.test(call.path);
  return path.startsWith('*') ? call.path.endsWith(path.slice(1)) : call.path === path;
}

/** Each pair is [shortest, longest] in microseconds; most operations are near the shortest. */
export interface DiskLatency {
  readonly readUs: readonly [number, number];
  readonly writeUs: readonly [number, number];
  readonly syncUs: readonly [number, number];
  /** Names, sizes, opening and closing. */
  readonly metaUs: readonly [number, number];
  /** Adds bytes / bytesPerSecond to reads and writes. */
  readonly bytesPerSecond: number;
}

/** A quick solid-state disk. */
export const defaultDiskLatency: DiskLatency = {
  readUs: [20, 200],
  writeUs: [10, 100],
  syncUs: [100, 3000],
  metaUs: [5, 50],
  bytesPerSecond: 1e9,
};

const opKinds: Record<DiskOp, 'readUs' | 'writeUs' | 'syncUs' | 'metaUs'> = {
  open: 'metaUs',
  close: 'metaUs',
  writev: 'writeUs',
  read: 'readUs',
  datasync: 'syncUs',
  truncate: 'metaUs',
  syncDir: 'syncUs',
  mkdir: 'metaUs',
  rename: 'metaUs',
  unlink: 'metaUs',
  link: 'metaUs',
  volume: 'metaUs',
  list: 'metaUs',
  stat: 'metaUs',
  lock: 'metaUs',
};

/** How long an operation takes: its range with the weight on the short end, and the time its bytes need. */
export function drawLatencyUs(latency: DiskLatency, call: DiskCall, rng: SimRng): number {
  const [shortest, longest] = latency[opKinds[call.op]];
  const share = rng.float() ** 3;
  return shortest + share * (longest - shortest) + (call.bytes / latency.bytesPerSecond) * 1e6;
}
