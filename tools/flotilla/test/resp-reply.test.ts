import { describe, expect, it } from 'vitest';
import {
  encodeCommand,
  type Reply,
  ReplyError,
  ReplyProtocolError,
  ReplyReader,
} from '../src/resp-reply.ts';

const stream =
  '+OK\r\n:-7\r\n$-1\r\n$5\r\na\r\nb\u00ff\r\n-ERR no such thing\r\n*3\r\n:1\r\n*-1\r\n*2\r\n$0\r\n\r\n+x\r\n*0\r\n';
const expected: Reply[] = [
  'OK',
  -7,
  null,
  'a\r\nb\u00ff',
  new ReplyError('ERR no such thing'),
  [1, null, ['', 'x']],
  [],
];

function readAll(pieces: readonly Buffer[]): Reply[] {
  const reader = new ReplyReader();
  const replies: Reply[] = [];
  for (const piece of pieces) {
    reader.feed(piece);
    for (let reply = reader.next(); reply !== undefined; reply = reader.next()) replies.push(reply);
  }
  return replies;
}

describe('replies', () => {
  it('are the same wherever the stream is cut', () => {
    const bytes = Buffer.from(stream, 'latin1');
    expect(readAll([bytes])).toEqual(expected);
    expect(readAll(Array.from(bytes, (_, i) => bytes.subarray(i, i + 1)))).toEqual(expected);
    for (let cut = 1; cut < bytes.length; cut++) {
      expect(readAll([bytes.subarray(0, cut), bytes.subarray(cut)])).toEqual(expected);
    }
  });

  it('tell errors by their first word', () => {
    expect(new ReplyError('MOVED 12 h:1').kind).toBe('MOVED');
    expect(new ReplyError('OOPS').kind).toBe('OOPS');
  });

  it.each([
    'x\r\n',
    '$-2\r\n',
    '$999999999999\r\n',
    '*9999999\r\n',
    ':1.5\r\n',
    ':\r\n',
    'x'.repeat(70_000),
  ])('are refused where they break the protocol: %.20s', (text) => {
    expect(() => readAll([Buffer.from(text)])).toThrow(ReplyProtocolError);
  });
});

describe('commands', () => {
  it('count bytes, not characters of some alphabet', () => {
    expect(encodeCommand(['SET', 'k\u00e4', ''])).toBe(
      '*3\r\n$3\r\nSET\r\n$2\r\nk\u00e4\r\n$0\r\n\r\n',
    );
  });
});
