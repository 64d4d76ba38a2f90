import { frameHeaderBytes, frameKinds, putFrameHeader } from '@flotilla/codec';
import { describe, expect, it } from 'vitest';
import type { ReceivedFrame } from '../src/api.ts';
import { FrameReader, kindSet } from '../src/frame-reader.ts';
import { bodyOf, frameOf } from './frames.ts';

const frameBytesMax = 100_000;
const appendLane = kindSet(frameKinds.append, frameKinds.appendAnswer, frameKinds.reject);

class Sink {
  readonly frames: string[] = [];
  readonly violations: string[] = [];
  hook: (() => void) | null = null;
  readonly reader = new FrameReader(this, appendLane, frameBytesMax);

  onFrame(frame: ReceivedFrame): void {
    this.frames.push(`${frame.kind} ${frame.headsEnd - frame.at} ${bodyOf(frame)}`);
    this.hook?.();
  }

  onViolation(violation: string): void {
    this.violations.push(violation);
  }
}

/** A header with a right CRC over any numbers. */
function headerOf(bodyBytes: number, kind: number, flags = 0): Uint8Array {
  const bytes = new Uint8Array(frameHeaderBytes);
  putFrameHeader(bytes, 0, { bodyBytes, kind, flags, records: 1, bodyCrc: 0 });
  return bytes;
}

function violationOf(bytes: Uint8Array): { violations: string[]; assemblyBytes: number } {
  const sink = new Sink();
  sink.reader.push(bytes);
  sink.reader.push(frameOf(frameKinds.appendAnswer, 'after'));
  expect(sink.frames).toEqual([]);
  return { violations: sink.violations, assemblyBytes: sink.reader.assemblyBytes };
}

describe('FrameReader', () => {
  it('hands on each frame of a chunk that holds several, without copying those that begin at a word', () => {
    const sink = new Sink();
    const a = frameOf(frameKinds.appendAnswer, 'four');
    const b = frameOf(frameKinds.append, 'shared', 'head');
    const append = '\x0c\0\0\0\0\0\0\0headshared';
    // A buffer of its own, as a socket's is, and from its first byte on.
    sink.reader.push(Uint8Array.from(Buffer.concat([a, b])));
    expect(sink.frames).toEqual(['6 4 four', `5 12 ${append}`]);
    expect(sink.reader.assemblyBytes).toBe(0);
    expect(sink.reader.isInsideFrame).toBe(false);
  });

  it('copies a frame that begins between words', () => {
    const sink = new Sink();
    const odd = frameOf(frameKinds.appendAnswer, 'seven77');
    const even = frameOf(frameKinds.appendAnswer, 'four');
    sink.reader.push(Uint8Array.from(Buffer.concat([odd, even, even])));
    expect(sink.frames).toEqual(['6 7 seven77', '6 4 four', '6 4 four']);
    expect(sink.reader.assemblyBytes).toBeGreaterThan(0);
  });

  it.each([
    ['0', 0],
    ['max + 1', frameBytesMax + 1],
    ['2^31', 2 ** 31],
    ['2^32 - 1', 2 ** 32 - 1],
  ])('a length of %s closes before any memory is taken (T5)', (_, bodyBytes) => {
    const header = headerOf(bodyBytes, frameKinds.appendAnswer);
    const { violations, assemblyBytes } = violationOf(Buffer.concat([header, Buffer.alloc(99)]));
    expect(violations).toEqual(['length']);
    expect(assemblyBytes).toBe(0);
  });

  it('a length of exactly the maximum is taken (T5)', () => {
    const sink = new Sink();
    const frame = frameOf(frameKinds.appendAnswer, 'x'.repeat(frameBytesMax));
    sink.reader.push(frame.subarray(0, 50_000));
    sink.reader.push(frame.subarray(50_000));
    expect(sink.violations).toEqual([]);
    expect(sink.frames.length).toBe(1);
  });

  it('a handshake frame has a small maximum of its own, whatever the lane allows', () => {
    expect(violationOf(headerOf(257, frameKinds.reject)).violations).toEqual(['length']);
  });

  it('a kind that is not of this lane, unknown or beyond any set closes', () => {
    for (const kind of [0, 1, 2, frameKinds.control, 7, 31, 36, 255]) {
      expect(violationOf(headerOf(8, kind)).violations).toEqual(['kind']);
    }
  });

  it('flags that version 1 does not know close', () => {
    expect(violationOf(headerOf(8, frameKinds.append, 1)).violations).toEqual(['flags']);
  });

  it('any flipped bit of a header closes', () => {
    const frame = frameOf(frameKinds.appendAnswer, 'body');
    for (let bit = 0; bit < frameHeaderBytes * 8; bit++) {
      const damaged = frame.slice();
      damaged[bit >> 3] = (damaged[bit >> 3] as number) ^ (1 << (bit & 7));
      expect(violationOf(damaged).violations).toEqual(['headerCrc']);
    }
  });

  it('any flipped bit of a covered body closes', () => {
    const frame = frameOf(frameKinds.appendAnswer, 'body');
    for (let bit = frameHeaderBytes * 8; bit < frame.length * 8; bit++) {
      const damaged = frame.slice();
      damaged[bit >> 3] = (damaged[bit >> 3] as number) ^ (1 << (bit & 7));
      expect(violationOf(damaged).violations).toEqual(['bodyCrc']);
    }
  });

  it('the shared part of an append frame is not covered: its blocks have their own CRC', () => {
    const frame = frameOf(frameKinds.append, 'shared', 'heads');
    frame[frame.length - 1] = 0;
    const sink = new Sink();
    sink.reader.push(frame);
    expect(sink.violations).toEqual([]);
    expect(sink.frames.length).toBe(1);
  });

  it('an append frame whose heads are shorter than their own length field, or longer than the body, closes', () => {
    const frame = frameOf(frameKinds.append, 'shared', 'heads');
    const bodyBytes = frame.length - frameHeaderBytes;
    for (const headsBytes of [0, 7, bodyBytes + 1, 2 ** 31, 2 ** 32 - 1]) {
      const damaged = Buffer.from(frame);
      damaged.writeUInt32LE(headsBytes, frameHeaderBytes);
      expect(violationOf(damaged).violations).toEqual(['heads']);
    }
    const reserved = frame.slice();
    reserved[frameHeaderBytes + 4] = 1;
    expect(violationOf(reserved).violations).toEqual(['heads']);
    expect(violationOf(headerOf(7, frameKinds.append)).violations).toEqual(['length']);
  });

  it('nothing is handed on after stop(), also from the chunk that is being read', () => {
    const sink = new Sink();
    sink.hook = () => sink.reader.stop();
    const frame = frameOf(frameKinds.appendAnswer, 'one');
    sink.reader.push(Buffer.concat([frame, frame]));
    sink.reader.push(frame);
    expect(sink.frames.length).toBe(1);
    expect(sink.violations).toEqual([]);
  });

  it('keeps its assembly buffer for frames of the usual size and gives up a large one', () => {
    const large = 3 * 2 ** 20;
    const sink = { onFrame() {}, onViolation() {} };
    const reader = new FrameReader(sink, appendLane, 2 * large);
    const split = (bytes: number): void => {
      const frame = frameOf(frameKinds.appendAnswer, 'x'.repeat(bytes));
      reader.push(frame.subarray(0, frame.length - 1));
      reader.push(frame.subarray(frame.length - 1));
    };
    split(100);
    expect(reader.assemblyBytes).toBe(4096);
    split(2 ** 20);
    expect(reader.assemblyBytes).toBe(2 ** 20);
    split(5000);
    expect(reader.assemblyBytes).toBe(2 ** 20);
    split(large);
    expect(reader.assemblyBytes).toBe(0);
    expect(reader.framesRead).toBe(4);
  });
});
