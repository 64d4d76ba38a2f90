// The part of the stream that a turn's live append frames share: the records that leaders on this host laid since the
// last flush, sent to every peer as they stand in the slab behind a small head of its own.

import { blockBytesMax } from '@flotilla/codec';
import { AssertionFailure } from '@flotilla/io';
import type { Wal } from '@flotilla/wal';
import type { BlockWriter } from './block-writer.ts';
import type { PeerLink } from './peer-link.ts';

/** Live frames are sent before a group lays more when they hold this much: with one group's share they stay below frameBytesMax. */
const bytesMax = 128 << 10;

export class LiveFrames {
  readonly #wal: Wal;
  readonly #links: readonly PeerLink[];
  /** Stream positions, -1 = nothing laid yet. */
  #from = -1;
  #to = -1;

  constructor(wal: Wal, links: readonly PeerLink[]) {
    this.#wal = wal;
    this.#links = links;
  }

  /**
   * Before a group lays its blocks, the first command of which has `nextBytes`: sends what is there where there is
   * enough of it, or where a large command comes, before which the log may fill a whole slab.
   */
  makeRoom(nextBytes: number): void {
    if (this.#from < 0) return;
    const isFull =
      this.#to - this.#from > bytesMax ||
      nextBytes > blockBytesMax ||
      this.#links.some((link) => link.isLiveFull);
    if (isFull) this.flush();
  }

  /** A group laid these blocks. */
  extend(blocks: BlockWriter): void {
    if (this.#from < 0) this.#from = blocks.firstPosition;
    this.#to = blocks.endPosition;
  }

  /** Where the entries first..last that `blocks` laid last stand in the shared part, -1 = not side by side in it. */
  offsetOf(blocks: BlockWriter, first: number, last: number): number {
    const position = blocks.positionOf(first, last);
    return position < 0 ? -1 : position - this.#from;
  }

  /** Sends the live frames of all peers. */
  flush(): void {
    if (this.#from < 0) return;
    const from = this.#from;
    const to = this.#to;
    this.#from = -1;
    this.#to = -1;
    const ranges: Uint8Array[] = [];
    if (!this.#wal.rangesBetween(from, to, ranges)) {
      throw new AssertionFailure('the records of this turn have left memory');
    }
    for (const link of this.#links) link.sendLive(from, to, ranges);
  }
}
