import { Message, type MessageKind, messageKinds } from '@flotilla/core';
import { describe, expect, it } from 'vitest';
import {
  messageBytesAt,
  messageBytesMax,
  messageGroupId,
  messageSharedAt,
  messageToGeneration,
  putMessage,
  readMessage,
} from '../src/wire.ts';

const address = { groupId: 2 ** 40 + 5, fromGeneration: 1, toGeneration: 3 };
const fieldsByKind: Readonly<Record<number, readonly (keyof Message)[]>> = {
  [messageKinds.append]: ['prevIndex', 'prevTerm', 'commit', 'lastIndex', 'entriesTerm', 'stream'],
  [messageKinds.appendAnswer]: ['index', 'hintTerm', 'stream', 'granted'],
  [messageKinds.heartbeat]: ['commit', 'token'],
  [messageKinds.heartbeatAnswer]: ['token'],
  [messageKinds.preVote]: ['index', 'logTerm', 'forced'],
  [messageKinds.preVoteAnswer]: ['granted'],
  [messageKinds.vote]: ['index', 'logTerm', 'forced'],
  [messageKinds.voteAnswer]: ['granted'],
  [messageKinds.readIndex]: ['token'],
  [messageKinds.readIndexAnswer]: ['token', 'index', 'granted'],
  [messageKinds.timeoutNow]: [],
  [messageKinds.logReverted]: ['index'],
};

function filled(kind: MessageKind): Message {
  const message = new Message();
  message.kind = kind;
  message.term = Number.MAX_SAFE_INTEGER;
  let value = 2 ** 33;
  for (const field of fieldsByKind[kind] as readonly (keyof Message)[]) {
    if (field === 'granted' || field === 'forced') Object.assign(message, { [field]: true });
    else Object.assign(message, { [field]: field === 'stream' ? 77 : value++ });
  }
  return message;
}

describe('the message record', () => {
  for (const [name, kind] of Object.entries(messageKinds)) {
    // Snapshots have a lane of their own: no record says so.
    if (kind === messageKinds.snapshot) continue;
    it(`carries every field of ${name} there and back`, () => {
      const bytes = new Uint8Array(messageBytesMax + 8);
      const sent = filled(kind);
      const length = putMessage(bytes, 8, sent, address, 1234);
      expect(length % 8).toBe(0);
      expect(messageBytesAt(bytes, 8, 8 + length)).toBe(length);
      expect(messageBytesAt(bytes, 8, 7 + length)).toBe(0);
      expect(messageGroupId(bytes, 8)).toBe(address.groupId);
      expect(messageToGeneration(bytes, 8)).toBe(3);
      if (kind === messageKinds.append) expect(messageSharedAt(bytes, 8)).toBe(1234);
      const received = new Message();
      expect(readMessage(bytes, 8, received)).toBe(true);
      expect(received).toEqual(sent);
    });
  }

  it('is refused where the type is unknown, the length is not that of its type, or a number is unsafe', () => {
    const bytes = new Uint8Array(messageBytesMax);
    const length = putMessage(bytes, 0, filled(messageKinds.append), address, 0);
    for (const kind of [0, messageKinds.snapshot, 64, 255]) {
      bytes[0] = kind;
      expect(messageBytesAt(bytes, 0, length)).toBe(0);
    }
    bytes[0] = messageKinds.append;
    bytes[2] = length - 8;
    expect(messageBytesAt(bytes, 0, length)).toBe(0);
    bytes[2] = length;
    bytes.fill(0xff, 32, 40);
    expect(readMessage(bytes, 0, new Message())).toBe(false);
  });

  it('has the bytes of an append that version 1 fixed', () => {
    const message = new Message();
    message.kind = messageKinds.append;
    message.term = 1;
    message.prevIndex = 2;
    message.prevTerm = 3;
    message.commit = 4;
    message.lastIndex = 5;
    message.entriesTerm = 6;
    message.stream = 7;
    const bytes = new Uint8Array(messageBytesMax);
    putMessage(bytes, 0, message, { groupId: 9, fromGeneration: 10, toGeneration: 11 }, 8);
    expect(Buffer.from(bytes).toString('hex')).toBe(
      '0100500000000000' +
        '0900000000000000' +
        '0a0000000b000000' +
        '0100000000000000' +
        '0200000000000000' +
        '0300000000000000' +
        '0400000000000000' +
        '0500000000000000' +
        '0600000000000000' +
        '0700000008000000',
    );
  });
});
