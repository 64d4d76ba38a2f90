// What a repair is to do, as data: which segments the new directory has, what changes in them, and the STORE it gets.
// Plans are made from an inspection of the old directory and from nothing else.

import type { Refusal } from '../refusal.ts';
import type { Copy } from './copy-files.ts';
import type { Tombstone } from './tombstone.ts';

export type RepairRequest =
  /** Flips back the one bit that explains a refusal at this page. */
  | { readonly kind: 'fix-bitflip'; readonly segId: number; readonly page: number }
  /** Gives up everything from this page on. */
  | { readonly kind: 'drop-after'; readonly segId: number; readonly page: number }
  /** Leaves only a tombstone of the group. */
  | { readonly kind: 'drop-group'; readonly groupId: number }
  /** Makes a STORE from what the segments say. */
  | { readonly kind: 'rebuild-store' };

export interface RepairPlan {
  readonly segments: readonly { readonly name: string; readonly copy: Copy }[];
  /** All three pages of the new STORE. */
  readonly store: Uint8Array;
  /** Identity of the new directory as a member. */
  readonly instance: number;
  readonly keepsInstance: boolean;
  /** Laid into the new log once it stands. */
  readonly tombstone?: () => Tombstone;
  /** What is done, a line each. */
  readonly done: readonly string[];
  /** What is given up, a line each; empty where nothing is. */
  readonly lost: readonly string[];
}

export type RepairOutcome =
  | {
      readonly kind: 'repaired';
      readonly instance: number;
      readonly keepsInstance: boolean;
      readonly lastSeq: number;
      readonly done: readonly string[];
      readonly lost: readonly string[];
    }
  /** The request does not fit what the inspection found; nothing was made. */
  | { readonly kind: 'unfit'; readonly why: string }
  /** The new directory would be refused too; it is left without a STORE. */
  | { readonly kind: 'refused'; readonly refusal: Refusal };
