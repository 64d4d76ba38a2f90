// P1, the look at every byte that hosts of the simulated cluster write, shown what it must not let pass.

import { crc32, frameHeaderBytes, frameKinds, putFrameHeader } from '@flotilla/codec';
import type { Conn, ConnHandlers, Net } from '@flotilla/io';
import { describe, expect, test } from 'vitest';
import { TappedNet } from '../src/cluster/wire-tap.ts';

/** What the tap says of one write to a connection, and what went out. */
function written(bytes: Uint8Array): { readonly says: string[]; readonly sent: number } {
  const says: string[] = [];
  let sent = 0;
  const conn: Conn = {
    remote: '127.0.0.2:7000',
    pendingBytes: 0,
    pauseReading() {},
    resumeReading() {},
    end() {},
    destroy() {},
    write(buffers) {
      for (const buffer of buffers) sent += buffer.length;
      return true;
    },
  };
  const net: Net = { listen() {}, dial: () => conn };
  const tapped = new TappedNet(net, {
    onMessage: () => says.push('a message'),
    onUnreadable: (what) => says.push(what),
    onFrame: () => says.push('a frame'),
  });
  tapped.dial('127.0.0.2:7000', {} as ConnHandlers).write([bytes]);
  return { says, sent };
}

describe('the tap of the wire', () => {
  test('P1: reports a write that is no frame, or less than one, and lets it pass', () => {
    for (const bytes of [new Uint8Array(3), new Uint8Array(64).fill(0xff)]) {
      const { says, sent } = written(bytes);
      expect(says).toEqual(['a write that is not whole frames']);
      expect(sent).toBe(bytes.length);
    }
  });

  test('P1: reports a frame of messages in which no message can be read', () => {
    const body = new Uint8Array(24).fill(0xee);
    const frame = new Uint8Array(frameHeaderBytes + body.length);
    frame.set(body, frameHeaderBytes);
    putFrameHeader(frame, 0, {
      kind: frameKinds.control,
      bodyBytes: body.length,
      flags: 0,
      records: 1,
      bodyCrc: crc32(body, 0, body.length),
    });
    expect(written(frame).says).toEqual(['a frame with an unreadable message', 'a frame']);
  });
});
