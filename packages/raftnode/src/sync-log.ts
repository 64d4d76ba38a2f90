// What a RaftNode asks of its log: plain calls that have been carried out when they return. Whatever is written counts as
// durable once `sync` has returned, and not before; a call that throws stops the node for good.
//
// MemoryLog keeps everything in memory. It is for tests, examples, and clusters that may forget.

/** An entry is known by index and term. Blank ones and changes of the membership are never given to the application. */
export type LogEntry =
  | {
      readonly kind: 'command';
      readonly index: number;
      readonly term: number;
      readonly command: Uint8Array;
    }
  | { readonly kind: 'blank'; readonly index: number; readonly term: number }
  | {
      readonly kind: 'members';
      readonly index: number;
      readonly term: number;
      readonly members: readonly number[];
    };

export interface HardState {
  readonly term: number;
  /** Node id, 0 = no vote in this term. */
  readonly votedFor: number;
}

/** The application's state as of an entry, and the members of the group as of the same. */
export interface StoredSnapshot {
  readonly index: number;
  readonly term: number;
  readonly members: readonly number[];
  readonly data: Uint8Array;
}

export interface SyncLog {
  /** {term: 0, votedFor: 0} for a log that is new. */
  hardState(): HardState;
  saveHardState(state: HardState): void;
  /** The index of the snapshot where there are no entries behind it; 0 for a log that is new. */
  lastIndex(): number;
  /** The entries from..to, both included, all of them behind the snapshot. */
  entries(from: number, to: number): readonly LogEntry[];
  /** They follow the last one. */
  append(entries: readonly LogEntry[]): void;
  /** Drops the entry at `index` and all behind it. */
  truncateFrom(index: number): void;
  snapshot(): StoredSnapshot | null;
  /** Replaces the snapshot and drops the entries that it covers; with `isWholeLog` all entries. */
  saveSnapshot(snapshot: StoredSnapshot, isWholeLog: boolean): void;
  /** Everything that was written before is durable when this returns. */
  sync(): void;
}

export class MemoryLog implements SyncLog {
  #hardState: HardState = { term: 0, votedFor: 0 };
  #snapshot: StoredSnapshot | null = null;
  #entries: LogEntry[] = [];

  hardState(): HardState {
    return this.#hardState;
  }

  saveHardState(state: HardState): void {
    this.#hardState = state;
  }

  lastIndex(): number {
    return this.#before() + this.#entries.length;
  }

  entries(from: number, to: number): readonly LogEntry[] {
    const before = this.#before();
    return this.#entries.slice(from - before - 1, to - before);
  }

  append(entries: readonly LogEntry[]): void {
    for (const entry of entries) this.#entries.push(entry);
  }

  truncateFrom(index: number): void {
    this.#entries.length = index - this.#before() - 1;
  }

  snapshot(): StoredSnapshot | null {
    return this.#snapshot;
  }

  saveSnapshot(snapshot: StoredSnapshot, isWholeLog: boolean): void {
    const covered = isWholeLog ? this.#entries.length : snapshot.index - this.#before();
    this.#entries.splice(0, covered);
    this.#snapshot = snapshot;
  }

  sync(): void {
    // Memory is as durable as it gets.
  }

  #before(): number {
    return this.#snapshot?.index ?? 0;
  }
}
