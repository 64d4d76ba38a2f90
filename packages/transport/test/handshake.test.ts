import { frameHeaderBytes } from '@flotilla/codec';
import { describe, expect, it } from 'vitest';
import {
  decodeHello,
  decodeReject,
  encodeHello,
  encodeReject,
  type Hello,
  helloBytes,
  type RejectReason,
  rejectCodes,
} from '../src/handshake.ts';

const hello: Hello = {
  versionMin: 1,
  versionMax: 1,
  features: 0,
  clusterId: Uint8Array.from({ length: 16 }, (_, i) => i),
  storeUuid: Uint8Array.from({ length: 16 }, (_, i) => 0xf0 + i),
  instance: 0x1f_ffff_ffff_ffff,
  epoch: 7,
  nodeId: 1,
  targetNodeId: 0x1_0000_0002,
  process: 0xdead_beef,
  frameBytesMax: 9 * 2 ** 20,
  lane: 2,
};
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

// These bytes are what hosts of version 1 send to each other. A change here is a change of the protocol.
const helloBody = [
  '464c4f5450454552', // FLOTPEER
  '01000100', // versions 1..1
  '00000000', // features
  '000102030405060708090a0b0c0d0e0f', // cluster id
  'f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff', // store uuid
  'ffffffffffff1f00', // instance
  '0700000000000000', // epoch
  '0100000000000000', // node id
  '0200000001000000', // target node id
  'efbeadde', // process
  '00009000', // largest frame
  '02', // lane: append
  '00000000000000', // reserved
].join('');

// The two checksums of each header were made by another program (zlib.crc32 of Python).
describe('the handshake frames', () => {
  it('HELLO has its golden bytes', () => {
    const header = '60000000' + '01' + '00' + '0000' + 'b606e8f5' + '7ab8c9f8';
    expect(hex(encodeHello('hello', hello))).toBe(header + helloBody);
  });

  it('WELCOME has its golden bytes: those of HELLO under another kind', () => {
    const header = '60000000' + '02' + '00' + '0000' + 'b606e8f5' + '99bf4676';
    expect(hex(encodeHello('welcome', hello))).toBe(header + helloBody);
  });

  it('REJECT has its golden bytes', () => {
    const header = '10000000' + '03' + '00' + '0000' + '23e81744' + 'a7ac0698';
    const body = '464c4f5450454552' + '0500' + '0100' + '0100' + '0000';
    expect(hex(encodeReject('duplicate'))).toBe(header + body);
  });

  it('the codes of REJECT keep their numbers', () => {
    expect(rejectCodes).toEqual({
      wrongCluster: 1,
      wrongNode: 2,
      unknownStore: 3,
      version: 4,
      duplicate: 5,
      busy: 6,
      frameLimit: 7,
    });
  });

  it('what was encoded is what is decoded', () => {
    const frame = encodeHello('hello', hello);
    expect(decodeHello(frame, frameHeaderBytes, frame.length)).toEqual(hello);
    for (const reason of Object.keys(rejectCodes) as RejectReason[]) {
      const reject = encodeReject(reason);
      expect(decodeReject(reject, frameHeaderBytes, reject.length)?.reason).toBe(reason);
    }
  });

  it('a HELLO of a later version, with more fields behind ours, is readable', () => {
    const frame = Buffer.concat([encodeHello('hello', hello), new Uint8Array(64).fill(9)]);
    expect(decodeHello(frame, frameHeaderBytes, frame.length)).toEqual(hello);
  });

  it('a REJECT with a code of a later version says unknown', () => {
    const frame = encodeReject('busy');
    frame[frameHeaderBytes + 8] = 200;
    expect(decodeReject(frame, frameHeaderBytes, frame.length)?.reason).toBe('unknown');
  });

  it('a HELLO that is short, has another magic or a number out of range is none', () => {
    const good = encodeHello('hello', hello);
    const at = frameHeaderBytes;
    expect(decodeHello(good, at, at + helloBytes - 1)).toBeNull();
    const changed = (offset: number, ...values: number[]): Hello | null => {
      const bytes = good.slice();
      bytes.set(values, at + offset);
      return decodeHello(bytes, at, bytes.length);
    };
    expect(changed(0, 0x67)).toBeNull();
    expect(changed(8, 0, 0)).toBeNull();
    expect(changed(8, 2, 0)).toBeNull(); // versions 2..1
    expect(changed(48, 0, 0, 0, 0, 0, 0, 0, 0)).toBeNull(); // instance 0
    for (const offset of [48, 56, 64, 72]) {
      expect(changed(offset + 6, 0x20)).toBeNull(); // 2^53 and more
    }
  });
});
