import { frameKinds } from '@flotilla/codec';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { ReceivedFrame } from '../src/api.ts';
import { FrameReader, kindSet } from '../src/frame-reader.ts';
import { bodyOf, frameOf } from './frames.ts';

const frameBytesMax = 20_000;
const appendLane = kindSet(frameKinds.append, frameKinds.appendAnswer);

function read(chunks: readonly Uint8Array[]): { seen: string[]; assemblyBytesMax: number } {
  const seen: string[] = [];
  const sink = {
    onFrame(frame: ReceivedFrame): void {
      seen.push(`${frame.kind} ${frame.records} ${frame.headsEnd - frame.at} ${bodyOf(frame)}`);
    },
    onViolation(violation: string): void {
      seen.push(violation);
    },
  };
  const reader = new FrameReader(sink, appendLane, frameBytesMax);
  let assemblyBytesMax = 0;
  for (const chunk of chunks) {
    reader.push(chunk);
    assemblyBytesMax = Math.max(assemblyBytesMax, reader.assemblyBytes);
  }
  return { seen, assemblyBytesMax };
}

function splitAt(bytes: Uint8Array, places: readonly number[]): Uint8Array[] {
  const cuts = [0, ...places.map((place) => place % (bytes.length + 1)), bytes.length];
  cuts.sort((a, b) => a - b);
  return cuts.slice(1).map((end, i) => bytes.slice(cuts[i], end));
}

const frame = fc
  .record({
    isAppend: fc.boolean(),
    heads: fc.integer({ min: 0, max: 40 }),
    body: fc.oneof(fc.integer({ min: 1, max: 60 }), fc.integer({ min: 1, max: 19_000 })),
    records: fc.integer({ min: 0, max: 0xffff }),
    letter: fc.integer({ min: 97, max: 122 }),
  })
  .map(({ isAppend, heads, body, records, letter }) =>
    frameOf(
      isAppend ? frameKinds.append : frameKinds.appendAnswer,
      String.fromCharCode(letter).repeat(body),
      'h'.repeat(heads),
      records,
    ),
  );
const places = fc.array(fc.nat(), { maxLength: 40 });

describe('FrameReader', () => {
  it('gives the same frames for every way of splitting a stream (F1)', () => {
    fc.assert(
      fc.property(fc.array(frame, { minLength: 1, maxLength: 8 }), places, (frames, cuts) => {
        const stream = Buffer.concat(frames);
        const expected = read([stream]).seen;
        expect(expected.length).toBe(frames.length);
        const split = read(splitAt(stream, cuts));
        expect(split.seen).toEqual(expected);
        expect(split.assemblyBytesMax).toBeLessThanOrEqual(2 * frameBytesMax);
        // A buffer that sockets read into may begin anywhere.
        const within = Buffer.alloc(stream.length + 8);
        for (const from of [4, 3]) {
          within.set(stream, from);
          const placed = new Uint8Array(within.buffer, within.byteOffset + from, stream.length);
          expect(read([placed]).seen).toEqual(expected);
        }
      }),
      { numRuns: 300 },
    );
  });

  it('gives the same verdict on a damaged stream for every split, and never throws (F1)', () => {
    fc.assert(
      fc.property(
        fc.array(frame, { minLength: 1, maxLength: 4 }),
        fc.nat(),
        fc.integer({ min: 1, max: 255 }),
        places,
        (frames, place, mask, cuts) => {
          const stream = Buffer.concat(frames);
          const at = place % stream.length;
          stream[at] = (stream[at] as number) ^ mask;
          expect(read(splitAt(stream, cuts)).seen).toEqual(read([stream]).seen);
        },
      ),
      { numRuns: 300 },
    );
  });

  it('hands on nothing from random bytes, and says so once', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 16, maxLength: 300 }), places, (bytes, cuts) => {
        expect(read(splitAt(bytes, cuts)).seen).toEqual(['headerCrc']);
      }),
      { numRuns: 300 },
    );
  });
});
