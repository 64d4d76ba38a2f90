import { putU32, putU64 } from '@flotilla/codec';
import { describe, expect, it } from 'vitest';
import { makeBase } from './damage/base-images.ts';
import { judgeImage } from './damage/judge.ts';
import { sealBatchHeader, sealSegmentHeader, sealStoreSlot } from './damage/seal.ts';

describe('a number on disk', () => {
  it('WF43: a segment header that claims more pages than a segment has is refused before it becomes memory', () => {
    const base = makeBase(1);
    for (const pages of [2 ** 22 + 1, 2 ** 31, 0xffff_ffff]) {
      const name = base.segments.at(-1) as string;
      const bytes = (base.files.get(name) as Uint8Array).slice();
      putU32(bytes, 92, pages);
      sealSegmentHeader(bytes);
      const files = new Map(base.files).set(name, bytes);
      expect(judgeImage(files, { states: null, mustRefuse: true })).toEqual({
        verdict: 'E_SEG_HEADER',
        complaint: null,
      });
    }
  });

  it('WF46: a counter at the end of its range is refused, because nothing could be counted on from it', () => {
    const base = makeBase(1);
    const fields = [8, 40, 48, 56, 64, 72];
    for (const field of fields) {
      const bytes = (base.files.get('STORE') as Uint8Array).slice();
      for (const slot of [0, 1]) {
        putU64(bytes, slot * 4096 + field, 2 ** 53 - 1);
        sealStoreSlot(bytes, slot);
      }
      const files = new Map(base.files).set('STORE', bytes);
      const { verdict, complaint } = judgeImage(files, { states: null, mustRefuse: true });
      expect([field, complaint]).toEqual([field, null]);
      expect(verdict).toBe('E_STORE');
    }
  });
});

describe('a batch behind the end', () => {
  it('WF46: with a number at the end of the range is refused: the next batch could not be numbered', () => {
    const base = makeBase(1);
    const last = base.batches.at(-1) as (typeof base.batches)[number];
    const bytes = (base.files.get(last.name) as Uint8Array).slice();
    const to = last.offset + last.length + 4096;
    bytes.copyWithin(to, last.offset, last.offset + 4096);
    putU64(bytes, to + 16, 2 ** 53 - 1);
    putU32(bytes, to + 28, to / 4096);
    putU64(bytes, to + 40, 0);
    sealBatchHeader(bytes, to);
    const files = new Map(base.files).set(last.name, bytes);
    expect(judgeImage(files, { states: null, mustRefuse: true })).toEqual({
      verdict: 'E_FORMAT',
      complaint: null,
    });
  });
});

describe('a slot of STORE', () => {
  it('whose checksum holds while its numbers cannot be refuses, and never leaves the word to the older slot', () => {
    const base = makeBase(2);
    const store = base.files.get('STORE') as Uint8Array;
    for (const slot of [0, 1]) {
      const bytes = store.slice();
      // oldestSeg behind newestSeg.
      putU64(bytes, slot * 4096 + 48, 1000);
      sealStoreSlot(bytes, slot);
      const files = new Map(base.files).set('STORE', bytes);
      expect(judgeImage(files, { states: null, mustRefuse: true })).toEqual({
        verdict: 'E_STORE',
        complaint: null,
      });
    }
  });
});
