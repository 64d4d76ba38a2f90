// Whole frames with right CRCs, for feeding a reader by hand.

import { crc32, frameHeaderBytes, frameKinds, putFrameHeader } from '@flotilla/codec';
import { expect } from 'vitest';
import type { ReceivedFrame } from '../src/api.ts';

/** `body` is the whole body, of an append frame its shared part behind `heads`. */
export function frameOf(kind: number, body: string, heads = '', records = 1): Uint8Array {
  const shared = Buffer.from(body, 'latin1');
  const prefix = Buffer.alloc(kind === frameKinds.append ? 8 + heads.length : 0);
  if (prefix.length > 0) {
    prefix.writeUInt32LE(prefix.length, 0);
    prefix.write(heads, 8, 'latin1');
  }
  const bytes = Buffer.concat([Buffer.alloc(frameHeaderBytes), prefix, shared]);
  const coveredEnd = prefix.length > 0 ? frameHeaderBytes + prefix.length : bytes.length;
  putFrameHeader(bytes, 0, {
    bodyBytes: bytes.length - frameHeaderBytes,
    kind,
    flags: 0,
    records,
    bodyCrc: crc32(bytes, frameHeaderBytes, coveredEnd),
  });
  return Uint8Array.from(bytes);
}

/** The body of a frame, of which its words must tell the same as its bytes. */
export function bodyOf({ at, bytes, end, words }: ReceivedFrame): string {
  expect(at % 4, 'the body begins at a word').toBe(0);
  expect(words.buffer).toBe(bytes.buffer);
  expect(words.byteOffset).toBe(bytes.byteOffset);
  expect(words.length).toBeGreaterThanOrEqual(end >>> 2);
  return Buffer.from(bytes.subarray(at, end)).toString('latin1');
}
