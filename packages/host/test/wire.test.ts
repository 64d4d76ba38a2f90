import {
  blockBytesOf,
  blockHeaderBytes,
  blockTableSlotBytes,
  entryTypes,
  isConfigurationBlock,
  payloadCodecs,
  putU32,
  recordHeadBytes,
  sealBlockInRecord,
  tableSlot,
  verifyBlockInRecord,
  wordsOf,
} from '@flotilla/codec';
import {
  Configuration,
  emptyConfiguration,
  type Member,
  Message,
  type MessageKind,
  messageKinds,
} from '@flotilla/core';
import { describe, expect, it } from 'vitest';
import { decodeConfiguration, encodeConfiguration } from '../src/configuration-codec.ts';
import { decodeGroupConfig } from '../src/group-config.ts';
import { answerAt, encodeAnswer, encodeQuestion, questionAt } from '../src/member-wire.ts';
import {
  isHostRecord,
  messageBytesAt,
  messageBytesMax,
  messageGroupId,
  messageSharedAt,
  messageToGeneration,
  putMessage,
  readMessage,
} from '../src/wire.ts';

const groupId = 2 ** 40 + 5;
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
  message.fromGeneration = 2 ** 32 - 1;
  message.toGeneration = 3;
  let value = 2 ** 33;
  for (const field of fieldsByKind[kind] as readonly (keyof Message)[]) {
    if (field === 'granted' || field === 'forced') Object.assign(message, { [field]: true });
    else Object.assign(message, { [field]: field === 'stream' ? 77 : value++ });
  }
  return message;
}

function wordsIn(bytes: Uint8Array): Int32Array {
  return wordsOf(bytes);
}

describe('the message record', () => {
  for (const [name, kind] of Object.entries(messageKinds)) {
    // Snapshots have a lane of their own: no record says so.
    if (kind === messageKinds.snapshot) continue;
    it(`carries every field of ${name} there and back`, () => {
      const words = new Int32Array(messageBytesMax / 4 + 2);
      const sent = filled(kind);
      const length = putMessage(words, 8, sent, groupId, 1234);
      expect(length % 8).toBe(0);
      expect(messageBytesAt(words, 8, 8 + length)).toBe(length);
      expect(messageBytesAt(words, 8, 7 + length)).toBe(0);
      expect(messageGroupId(words, 8)).toBe(groupId);
      expect(messageToGeneration(words, 8)).toBe(3);
      if (kind === messageKinds.append) expect(messageSharedAt(words, 8)).toBe(1234);
      const received = new Message();
      expect(readMessage(words, 8, received)).toBe(true);
      // What the addressee's generation is compared with is not the message's any more.
      expect(received).toEqual(Object.assign(sent, { toGeneration: 1 }));
    });
  }

  it('is refused where the type is unknown, the length is not that of its type, or a number is unsafe', () => {
    const bytes = new Uint8Array(messageBytesMax);
    const words = wordsIn(bytes);
    const length = putMessage(words, 0, filled(messageKinds.append), groupId, 0);
    for (const kind of [0, messageKinds.snapshot, 14, 63, 64, 65, 66, 67, 255]) {
      bytes[0] = kind;
      expect(messageBytesAt(words, 0, length)).toBe(0);
    }
    bytes[0] = messageKinds.append;
    bytes[2] = length - 8;
    expect(messageBytesAt(words, 0, length)).toBe(0);
    bytes[2] = length;
    bytes.fill(0xff, 32, 40);
    expect(readMessage(words, 0, new Message())).toBe(false);
  });

  for (const [name, kind] of Object.entries(messageKinds)) {
    if (kind === messageKinds.snapshot) continue;
    it(`of ${name} is refused where a number of it is above 2^53 - 1, or its sender is replica 0`, () => {
      const bytes = new Uint8Array(messageBytesMax);
      const length = putMessage(wordsIn(bytes), 0, filled(kind), groupId, 0);
      const isReadWith = (from: number, to: number, value: number): boolean => {
        const changed = bytes.slice();
        changed.fill(value, from, to);
        return readMessage(wordsIn(changed), 0, new Message());
      };
      expect(isReadWith(16, 20, 0)).toBe(false);
      expect(isReadWith(24, 32, 0xff)).toBe(false);
      const numbers = (fieldsByKind[kind] as readonly string[]).filter(
        (field) => !['granted', 'forced', 'stream'].includes(field),
      );
      for (let i = 0; i < numbers.length; i++) {
        expect(isReadWith(32 + 8 * i, 40 + 8 * i, 0xff), numbers[i]).toBe(false);
      }
      expect(length).toBeGreaterThanOrEqual(32 + 8 * numbers.length);
    });
  }

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
    message.fromGeneration = 10;
    message.toGeneration = 11;
    putMessage(wordsIn(bytes), 0, message, 9, 8);
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

describe('the records about members', () => {
  const question = { groupId, fromGeneration: 7, configurationIndex: 2 ** 41, token: 9 };
  const answer = { groupId, generation: 2, toGeneration: 7, token: 9, isReady: true };

  it('carry every field there and back, and are known by their length', () => {
    for (const bytes of [encodeQuestion(question), encodeAnswer(answer)]) {
      expect(messageBytesAt(wordsIn(bytes), 0, bytes.length)).toBe(bytes.length);
      expect(messageBytesAt(wordsIn(bytes), 0, bytes.length - 1)).toBe(0);
      expect(isHostRecord(wordsIn(bytes), 0)).toBe(true);
      expect(messageGroupId(wordsIn(bytes), 0)).toBe(groupId);
    }
    expect(questionAt(encodeQuestion(question), 0)).toEqual(question);
    expect(answerAt(encodeAnswer(answer), 0)).toEqual(answer);
    expect(answerAt(encodeAnswer({ ...answer, isReady: false }), 0)).toMatchObject({
      isReady: false,
    });
  });

  it('are refused where a number is zero or above 2^53 - 1, or a flag is unknown', () => {
    const broken = (bytes: Uint8Array, from: number, to: number, value: number): Uint8Array => {
      const changed = bytes.slice();
      changed.fill(value, from, to);
      return changed;
    };
    for (const [from, to] of [
      [8, 16],
      [16, 20],
      [32, 40],
    ] as const) {
      expect(questionAt(broken(encodeQuestion(question), from, to, 0), 0), `${from}`).toBe(null);
    }
    for (const from of [8, 24, 32]) {
      expect(questionAt(broken(encodeQuestion(question), from, from + 8, 0xff), 0)).toBe(null);
    }
    for (const [from, to] of [
      [8, 16],
      [16, 20],
      [20, 24],
      [24, 32],
    ] as const) {
      expect(answerAt(broken(encodeAnswer(answer), from, to, 0), 0), `${from}`).toBe(null);
    }
    for (const from of [8, 24]) {
      expect(answerAt(broken(encodeAnswer(answer), from, from + 8, 0xff), 0)).toBe(null);
    }
    expect(answerAt(broken(encodeAnswer(answer), 1, 2, 2), 0)).toBe(null);
  });
});

describe('a configuration as bytes', () => {
  const member = (nodeId: number, generation = 1, instance = 0): Member => ({
    nodeId,
    generation,
    instance,
  });
  const joint = new Configuration({
    voters: [member(4, 2, 2 ** 52), member(1)],
    votersOutgoing: [member(1), member(2), member(2 ** 32 - 1, 2 ** 32 - 1)],
    learners: [member(9)],
    learnersNext: [member(2)],
    autoLeave: true,
    leaseMs: 1500,
  });
  const plain = Configuration.ofNodes([3, 1, 2]);

  it('comes back as it was', () => {
    for (const configuration of [joint, plain, emptyConfiguration]) {
      const bytes = encodeConfiguration(configuration);
      const around = new Uint8Array(bytes.length + 20);
      around.set(bytes, 10);
      const read = decodeConfiguration(around, 10, 10 + bytes.length);
      expect(read?.equals(configuration)).toBe(true);
    }
  });

  it('has the bytes that version 2 fixed', () => {
    const one = new Configuration({ voters: [member(5, 6, 7)], leaseMs: 258 });
    expect(Buffer.from(encodeConfiguration(one)).toString('hex')).toBe(
      '0200010000000000' + '0201000000000000' + '0500000006000000' + '0700000000000000',
    );
  });

  it('is refused with any byte of its head changed into what none can have, cut short, or out of order', () => {
    const bytes = encodeConfiguration(joint);
    for (let length = 0; length < bytes.length; length++) {
      expect(decodeConfiguration(bytes, 0, length), `${length}`).toBe(null);
    }
    for (const at of [0, 1, 2, 3, 4, 5, 6, 7, 12, 13, 14, 15]) {
      const changed = bytes.slice();
      changed[at] = 0xfe;
      expect(decodeConfiguration(changed, 0, changed.length), `${at}`).toBe(null);
    }
    const plainBytes = encodeConfiguration(plain);
    const swapped = plainBytes.slice();
    swapped.copyWithin(16, 32, 48);
    swapped.set(plainBytes.subarray(16, 32), 32);
    expect(decodeConfiguration(swapped, 0, swapped.length)).toBe(null);
    const noGeneration = plainBytes.slice();
    noGeneration.fill(0, 20, 24);
    expect(decodeConfiguration(noGeneration, 0, noGeneration.length)).toBe(null);
    const hugeInstance = plainBytes.slice();
    hugeInstance.fill(0xff, 24, 32);
    expect(decodeConfiguration(hugeInstance, 0, hugeInstance.length)).toBe(null);
  });

  it('is read from a group that was opened with a static membership by the first version', () => {
    const packed = Uint8Array.of(0x92, 1, 0x93, 1, 2, 3);
    expect(decodeGroupConfig(1, packed).votingIds).toEqual([1, 2, 3]);
    for (const bytes of [
      Uint8Array.of(0x92, 9, 0x93, 1, 2, 3),
      Uint8Array.of(0x92, 1, 0x92, 1, 1),
      new Uint8Array(0),
    ]) {
      expect(() => decodeGroupConfig(1, bytes)).toThrow(
        expect.objectContaining({ code: 'WAL_CORRUPT' }),
      );
    }
  });
});

describe('the records of appended entries', () => {
  it('hold a configuration entry in a block of its own, never beside others', () => {
    const payload = encodeConfiguration(Configuration.ofNodes([1, 2, 3]));
    const blockOf = (types: readonly number[]): Uint8Array => {
      const blockBytes = blockBytesOf(types.length, payload.length * types.length);
      const bytes = new Uint8Array(recordHeadBytes + blockBytes);
      types.forEach((type, i) => {
        const slotAt = recordHeadBytes + blockHeaderBytes + blockTableSlotBytes * i;
        putU32(bytes, slotAt, tableSlot(payload.length, payloadCodecs.raw, type));
      });
      sealBlockInRecord(bytes, recordHeadBytes, {
        firstIndex: 1,
        term: 1,
        count: types.length,
        blockBytes,
      });
      return bytes;
    };
    const verdict = (types: readonly number[]): string => {
      const bytes = blockOf(types);
      return verifyBlockInRecord(bytes, recordHeadBytes, bytes.length);
    };
    const { command, blank, config } = entryTypes;
    expect(verdict([config])).toBe('ok');
    expect(verdict([command, blank])).toBe('ok');
    expect(verdict([command, config])).toBe('shape');
    expect(verdict([config, config])).toBe('shape');
    expect(isConfigurationBlock(blockOf([config]), recordHeadBytes)).toBe(true);
    expect(isConfigurationBlock(blockOf([command]), recordHeadBytes)).toBe(false);
  });
});
