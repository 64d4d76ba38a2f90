// Encodes commands into blocks, once, straight from the port's arena into the log's slab.

import {
  alignUp,
  blockBytesMax,
  blockBytesOf,
  blockHeaderBytes,
  blockTableSlotBytes,
  copyBytes,
  entryTypes,
  payloadCodecs,
  recordAlignment,
  recordHeadBytes,
  sealBlockInRecord,
  tableSlot,
} from '@flotilla/codec';
import type { Configuration } from '@flotilla/core';
import type { Wal } from '@flotilla/wal';
import { encodeConfiguration } from './configuration-codec.ts';
import { type SubmissionBatch, submissionKinds } from './port.ts';
import type { Replica } from './replica.ts';

export class BlockWriter {
  readonly #wal: Wal;
  /** Of the last call: the blocks laid, four numbers each: first index, last index, position in the stream, end. */
  readonly laid: number[] = [];
  laidCount = 0;
  /** Of the last writeChain: where its records begin and end in the stream. */
  firstPosition = 0;
  endPosition = 0;
  payloadBytes = 0;
  /** Of the last writeChain: the first command that was over the group's share, or -1. */
  restOfChain = -1;
  /** Of the last writeChain: whether that command belongs to the same proposeMany as the last one that was laid. */
  isRunCut = false;

  constructor(wal: Wal) {
    this.#wal = wal;
  }

  /**
   * Lays the commands of the chain that starts at `head` as blocks from index `first` on, of at most `bytesMax` bytes in
   * all (but at least one block), files who waits for them, and fills `laid`. Answers their count.
   */
  writeChain(
    replica: Replica,
    batch: SubmissionBatch,
    head: number,
    first: number,
    term: number,
    bytesMax: number,
  ): number {
    const { lengths, next } = batch;
    this.laidCount = 0;
    this.payloadBytes = 0;
    let index = first;
    let at = head;
    let laidBytes = 0;
    let lastLaid = head;
    while (at >= 0) {
      // Measure a block, then write it.
      let count = 0;
      let payloadBytes = 0;
      let end = at;
      let last = at;
      while (end >= 0) {
        const length = lengths[end] as number;
        if (count > 0 && blockBytesOf(count + 1, payloadBytes + length) > blockBytesMax) break;
        count++;
        payloadBytes += length;
        last = end;
        end = next[end] as number;
      }
      laidBytes += blockBytesOf(count, payloadBytes);
      if (index > first && laidBytes > bytesMax) break;
      this.#writeBlock(replica, batch, at, { firstIndex: index, count, term, payloadBytes });
      this.payloadBytes += payloadBytes;
      index += count;
      lastLaid = last;
      at = end;
    }
    this.restOfChain = at;
    this.isRunCut = at >= 0 && batch.kinds[lastLaid] === submissionKinds.proposePart;
    return index - first;
  }

  #writeBlock(
    replica: Replica,
    batch: SubmissionBatch,
    head: number,
    block: { firstIndex: number; count: number; term: number; payloadBytes: number },
  ): void {
    const wal = this.#wal;
    const { firstIndex, count, term, payloadBytes } = block;
    const { arena, arenaWords, lengths, next, offsets, tickets } = batch;
    const blockBytes = blockBytesOf(count, payloadBytes);
    wal.beginEntries(replica.slot, firstIndex, count, term, blockBytes);
    const bytes = wal.entriesBytes;
    const words = wal.entriesWords;
    const at = wal.entriesAt;
    let slotAt = at + blockHeaderBytes;
    let payloadAt = slotAt + blockTableSlotBytes * count;
    let item = head;
    for (let i = 0; i < count; i++) {
      const length = lengths[item] as number;
      words[slotAt >>> 2] = tableSlot(length, payloadCodecs.raw, entryTypes.command);
      copyBytes(arena, arenaWords, offsets[item] as number, length, bytes, words, payloadAt);
      replica.pushWait(firstIndex + i, tickets[item] as number);
      slotAt += blockTableSlotBytes;
      payloadAt += length;
      item = next[item] as number;
    }
    this.#seal(firstIndex, count, term, blockBytes);
  }

  /** Where the entries first..last stand in the stream, if they are whole blocks just laid, one behind the other; else -1. */
  positionOf(first: number, last: number): number {
    const { laid, laidCount } = this;
    for (let i = 0; i < laidCount; i += 4) {
      if (laid[i] !== first) continue;
      for (let j = i; j < laidCount; j += 4) {
        if (laid[j + 1] === last) return laid[i + 2] as number;
        if (j + 4 >= laidCount || laid[j + 3] !== laid[j + 6]) return -1;
      }
    }
    return -1;
  }

  /** Lays what a leader appends by itself: a configuration, or the blank entry of its term. */
  writeOwn(
    replica: Replica,
    index: number,
    term: number,
    configuration: Configuration | null,
  ): void {
    if (configuration === null) this.#writeBlank(replica, index, term);
    else this.#writeConfiguration(replica, index, term, encodeConfiguration(configuration));
  }

  #writeBlank(replica: Replica, index: number, term: number): void {
    const wal = this.#wal;
    const blockBytes = blockBytesOf(1, 0);
    this.laidCount = 0;
    wal.beginEntries(replica.slot, index, 1, term, blockBytes);
    const slotAt = wal.entriesAt + blockHeaderBytes;
    wal.entriesWords[slotAt >>> 2] = tableSlot(0, payloadCodecs.raw, entryTypes.blank);
    this.#seal(index, 1, term, blockBytes);
  }

  /** A configuration entry is a block of its own. */
  #writeConfiguration(replica: Replica, index: number, term: number, payload: Uint8Array): void {
    const wal = this.#wal;
    const blockBytes = blockBytesOf(1, payload.length);
    this.laidCount = 0;
    wal.beginEntries(replica.slot, index, 1, term, blockBytes);
    const slotAt = wal.entriesAt + blockHeaderBytes;
    wal.entriesWords[slotAt >>> 2] = tableSlot(
      payload.length,
      payloadCodecs.raw,
      entryTypes.config,
    );
    wal.entriesBytes.set(payload, slotAt + blockTableSlotBytes);
    this.#seal(index, 1, term, blockBytes);
  }

  #seal(firstIndex: number, count: number, term: number, blockBytes: number): void {
    const wal = this.#wal;
    const head = { firstIndex, term, count, blockBytes };
    sealBlockInRecord(wal.entriesBytes, wal.entriesAt, head, wal.entriesWords, wal.entriesBlockCrc);
    const position = wal.entriesPosition;
    wal.finishEntries();
    if (this.laidCount === 0) this.firstPosition = position;
    this.endPosition = position + alignUp(recordHeadBytes + blockBytes, recordAlignment);
    const { laid, laidCount } = this;
    laid[laidCount] = firstIndex;
    laid[laidCount + 1] = firstIndex + count - 1;
    laid[laidCount + 2] = position;
    laid[laidCount + 3] = this.endPosition;
    this.laidCount = laidCount + 4;
  }
}
