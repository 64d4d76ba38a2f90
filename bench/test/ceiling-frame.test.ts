import { describe, expect, it } from 'vitest';
import { encodeFrame, FrameReader } from '../src/ceiling-frame.ts';

const payload = Uint8Array.of(3, 1, 4);
const two = (): Uint8Array[][] => [[payload, payload], [], [payload]];

describe('frames of the ceiling suite', () => {
  it('are walked through whole, however the stream is cut', () => {
    const stream = Buffer.concat([encodeFrame(1, two()), encodeFrame(2, two())]);
    for (let cut = 0; cut <= stream.length; cut++) {
      const reader = new FrameReader();
      const first = reader.push(stream.subarray(0, cut))?.length ?? 0;
      const second = reader.push(stream.subarray(cut))?.length ?? 0;
      expect(first + second).toBe(stream.length);
      expect([reader.entries, reader.checksum, reader.lastSeq]).toEqual([6, 18, 2]);
    }
  });

  it('empty the lists that they take', () => {
    const pending = two();
    encodeFrame(1, pending);
    expect(pending).toEqual([[], [], []]);
  });

  it('are refused when a single byte is wrong', () => {
    const frame = encodeFrame(1, two());
    for (let at = 0; at < frame.length; at++) {
      const damaged = Buffer.from(frame);
      damaged[at] = (damaged[at] as number) ^ 0x10;
      const reader = new FrameReader();
      // A longer length leaves the reader waiting for bytes; anything else it must notice.
      const waits =
        at < 4 && damaged.readUInt32LE(0) > frame.length && damaged.readUInt32LE(0) < 2 ** 28;
      if (waits) expect(reader.push(damaged)).toBeNull();
      else expect(() => reader.push(damaged)).toThrow(/frame/);
    }
  });
});
