// What a power cut leaves of the pending writes and names of a simulated disk. Each one is judged by itself, so later
// ones may survive while earlier ones are lost; a policy says how, and the surviving state becomes the only one.

import {
  type DiskTree,
  type Inode,
  type PendingName,
  type PendingWrite,
  sectorBytes,
  settleWrite,
} from './disk-tree.ts';
import type { PageStore } from './page-store.ts';
import type { SimRng } from './sim-rng.ts';

/**
 * `zeros`: the file has grown as the write would have made it, but holds zeros there. `stale`: it has grown, and holds
 * what those blocks held before, as part of another file of this disk: bytes whose checksums may well be right.
 * `sectors`: only those 512-byte sectors of the write (counted from 0) got to the disk; `extended`: the file has the full
 * length all the same.
 */
export type WriteOutcome =
  | 'lost'
  | 'kept'
  | 'zeros'
  | 'stale'
  | { readonly sectors: (sector: number) => boolean; readonly extended: boolean };

export interface CrashPolicy {
  write(write: PendingWrite, rng: SimRng): WriteOutcome;
  /** Whether this change of names survives. */
  name(change: PendingName, rng: SimRng): boolean;
}

export interface CrashWeights {
  readonly lost?: number;
  readonly kept?: number;
  readonly torn?: number;
  readonly zeros?: number;
  readonly stale?: number;
  /** Chance that a change of names survives, default 0.5. */
  readonly nameKept?: number;
}

/** What became of the pending writes of crashes. Growing with zeros or stale bytes where nothing grows counts as lost. */
export interface CrashCounts {
  lost: number;
  kept: number;
  torn: number;
  zeros: number;
  stale: number;
}

/** Nothing that was not synced survives. */
export const loseEverything: CrashPolicy = { write: () => 'lost', name: () => false };
/** Everything survives, as when only the process dies. */
export const keepEverything: CrashPolicy = { write: () => 'kept', name: () => true };

/** Each pending write and name draws its own fate. */
export function randomCrash(weights: CrashWeights = {}): CrashPolicy {
  const lost = weights.lost ?? 1;
  const kept = weights.kept ?? 1;
  const torn = weights.torn ?? 1;
  const zeros = weights.zeros ?? 0.5;
  const stale = weights.stale ?? 0.25;
  const nameKept = weights.nameKept ?? 0.5;
  return {
    write(write, rng) {
      const draw = rng.float() * (lost + kept + torn + zeros + stale);
      if (draw < lost) return 'lost';
      if (draw < lost + kept) return 'kept';
      if (draw < lost + kept + torn) return drawTear(write, rng);
      return draw < lost + kept + torn + zeros ? 'zeros' : 'stale';
    },
    name: (_change, rng) => rng.chance(nameKept),
  };
}

/** What was done first survives: everything up to `order`, nothing later. */
export function crashAfterOrder(order: number): CrashPolicy {
  return {
    write: (write) => (write.order <= order ? 'kept' : 'lost'),
    name: (change) => change.order <= order,
  };
}

/** Everything survives but the one change with this order. */
export function crashWithout(order: number): CrashPolicy {
  return {
    write: (write) => (write.order === order ? 'lost' : 'kept'),
    name: (change) => change.order !== order,
  };
}

/** A prefix, a suffix, or any subset of the sectors. */
function drawTear(write: PendingWrite, rng: SimRng): WriteOutcome {
  const count = Math.ceil(write.bytes.length / sectorBytes);
  const extended = rng.chance(0.5);
  const shape = rng.below(3);
  const cut = rng.between(0, count);
  if (shape === 0) return { sectors: (sector) => sector < cut, extended };
  if (shape === 1) return { sectors: (sector) => sector >= cut, extended };
  const chosen = Array.from({ length: count }, () => rng.chance(0.5));
  return { sectors: (sector) => chosen[sector] === true, extended };
}

/** The power cut: afterwards current and durable state are one, and nothing is pending. Adds to `counts`. */
export function applyCrash(
  tree: DiskTree,
  policy: CrashPolicy,
  rng: SimRng,
  counts: CrashCounts = { lost: 0, kept: 0, torn: 0, zeros: 0, stale: 0 },
): void {
  const inodes = tree.inodes();
  // Blocks that a file grows into may hold anything that this disk held before.
  const former = inodes
    .filter(({ durable }) => durable.bytes > 0)
    .map((inode) => inode.durable.clone());
  for (const inode of inodes) {
    for (const write of inode.pending) {
      counts[applyOutcome(inode, write, policy.write(write, rng), former, rng)] += 1;
    }
    inode.pending = [];
    inode.current = inode.durable.clone();
  }
  for (const change of tree.pendingNames) if (policy.name(change, rng)) tree.settle(change);
  tree.pendingNames = [];
  for (const inode of inodes) inode.entries = new Map(inode.durableEntries);
}

/** Answers what it comes to. */
function applyOutcome(
  inode: Inode,
  write: PendingWrite,
  outcome: WriteOutcome,
  former: readonly PageStore[],
  rng: SimRng,
): keyof CrashCounts {
  if (outcome === 'lost') return 'lost';
  if (outcome === 'kept') {
    settleWrite(inode, write);
    return 'kept';
  }
  if (write.kind === 'truncate') return 'lost';
  const { durable } = inode;
  if (outcome === 'zeros' || outcome === 'stale') {
    const before = durable.bytes;
    if (write.end <= before) return 'lost';
    durable.extend(write.end);
    if (outcome === 'stale' && former.length > 0) growStale(durable, before, rng.pick(former), rng);
    return outcome;
  }
  for (let at = 0; at < write.bytes.length; at += sectorBytes) {
    if (!outcome.sectors(at / sectorBytes)) continue;
    durable.write(write.offset + at, write.bytes.subarray(at, at + sectorBytes));
  }
  if (outcome.extended) durable.extend(write.end);
  return 'torn';
}

/** Fills whole sectors behind `before` with what another file holds, at the same offset or from its beginning. */
function growStale(durable: PageStore, before: number, source: PageStore, rng: SimRng): void {
  const from = Math.ceil(before / sectorBytes) * sectorBytes;
  const count = durable.bytes - from;
  if (count <= 0) return;
  const bytes = new Uint8Array(count);
  source.read(bytes, rng.chance(0.5) && source.bytes > from ? from : 0);
  durable.write(from, bytes);
}
