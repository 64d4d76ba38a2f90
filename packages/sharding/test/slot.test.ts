import { expect, test } from 'vitest';
import { crc16, keySlot } from '../src/index.ts';

const bytes = (text: string): Uint8Array => Buffer.from(text, 'latin1');
const slot = (text: string): number => keySlot(bytes(text), 0, text.length);

test('the checksum is CRC-16/XMODEM', () => {
  expect(crc16(bytes('123456789'), 0, 9)).toBe(0x31c3);
});

test('slots are those that clients of Redis Cluster compute', () => {
  expect(slot('foo')).toBe(12_182);
  expect(slot('bar')).toBe(5_061);
  expect(slot('hello')).toBe(866);
  expect(slot('')).toBe(0);
});

test('only a non-empty tag between the first braces is hashed', () => {
  expect(slot('{foo}.a')).toBe(slot('foo'));
  expect(slot('x{foo}{bar}')).toBe(slot('foo'));
  expect(slot('a{{foo}}b')).toBe(slot('{foo'));
  for (const whole of ['a{}b{foo}', '{foo', 'foo}', '}foo{']) {
    expect(slot(whole)).toBe(crc16(bytes(whole), 0, whole.length) & 16_383);
  }
});

test('a key inside larger memory has the same slot', () => {
  expect(keySlot(bytes('..{foo}..'), 2, 7)).toBe(12_182);
});
