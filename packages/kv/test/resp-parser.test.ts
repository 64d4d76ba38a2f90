import { describe, expect, test } from 'vitest';
import { RespParser } from '../src/index.ts';
import { encode } from './harness.ts';

function drain(parser: RespParser): string[][] {
  const commands: string[][] = [];
  for (;;) {
    const outcome = parser.next();
    if (outcome === 'error') commands.push(['!', parser.problem]);
    if (outcome !== 'command') return commands;
    commands.push(Array.from({ length: parser.argc }, (_, i) => parser.text(i)));
  }
}

function parse(text: string): string[][] {
  const parser = new RespParser();
  parser.push(Buffer.from(text, 'latin1'));
  return drain(parser);
}

describe('well-formed input', () => {
  test('arrays of bulk strings may hold any bytes and follow each other without a pause', () => {
    const parser = new RespParser();
    parser.push(Buffer.concat([encode('SET', 'a\r\nb', '\0\xff'), encode('GET', '')]));
    expect(drain(parser)).toEqual([
      ['SET', 'a\r\nb', '\0\xff'],
      ['GET', ''],
    ]);
    expect(parser.pendingBytes).toBe(0);
    expect(parser.ownedBytes).toBe(0);
  });

  test('inline commands are words, with quotes and escapes', () => {
    expect(parse('PING\r\n')).toEqual([['PING']]);
    expect(parse('  set  a\tb\n')).toEqual([['set', 'a', 'b']]);
    expect(parse('echo "a \\x41\\n\\"" \'b \\\' c\' ""\r\n')).toEqual([
      ['echo', 'a A\n"', "b ' c", ''],
    ]);
  });

  test('empty lines and empty arrays are passed over', () => {
    expect(parse('\r\n\n*0\r\n*-1\r\nPING\r\n')).toEqual([['PING']]);
  });

  test('a long argument that arrives in pieces is read without keeping more than needed', () => {
    const parser = new RespParser();
    const value = 'v'.repeat(3_000_000);
    const bytes = encode('SET', 'k', value);
    for (let at = 0; at < bytes.length; at += 65_536) {
      parser.push(bytes.subarray(at, at + 65_536));
      if (at + 65_536 < bytes.length) expect(parser.next()).toBe('more');
    }
    expect(parser.ownedBytes).toBeLessThan(8_000_000);
    expect(parser.next()).toBe('command');
    expect(parser.end(2) - parser.start(2)).toBe(value.length);
    expect(parser.next()).toBe('more');
    expect(parser.ownedBytes).toBe(0);
  });
});

describe('malformed input ends the stream with a text', () => {
  const cases: [input: string, problem: string][] = [
    ['*1\r\n+x\r\n', "expected '$', got '+'"],
    ['*1\r\n\x01', "expected '$', got '?'"],
    ['*x\r\n', 'invalid multibulk length'],
    ['*99999999\r\n', 'invalid multibulk length'],
    ['*999999999999999999999999999', 'invalid multibulk length'],
    ['*1\n', 'invalid multibulk length'],
    ['*\r\n', 'invalid multibulk length'],
    ['*1\r\n$-1\r\n', 'invalid bulk length'],
    ['*1\r\n$8388609\r\n', 'invalid bulk length'],
    ['*1\r\n$1x\r\n', 'invalid bulk length'],
    ['*1\r\n$1\rx', 'invalid bulk length'],
    ['*1\r\n$1\r\nabc', 'expected CRLF after a bulk string'],
    ['get "a\r\n', 'unbalanced quotes in request'],
    ['get "a"b\r\n', 'unbalanced quotes in request'],
    ['x'.repeat(70_000), 'too big inline request'],
  ];
  test.each(cases)('%j', (input, problem) => {
    expect(parse(input)).toEqual([['!', `ERR Protocol error: ${problem}`]]);
  });

  test('nothing after it is read', () => {
    const parser = new RespParser();
    parser.push(Buffer.from('*x\r\nPING\r\n'));
    expect(parser.next()).toBe('error');
    parser.push(Buffer.from('PING\r\n'));
    expect(parser.next()).toBe('error');
  });

  test('a command larger than the limit is refused before it is kept', () => {
    const limits = { argumentsMax: 100, argumentBytesMax: 1_000, commandBytesMax: 2_000 };
    const parser = new RespParser(limits);
    parser.push(encode('a', 'x'.repeat(900), 'x'.repeat(900), 'x'.repeat(900)).subarray(0, 1_900));
    expect(parser.next()).toBe('error');
    expect(parser.problem).toContain('command too big');
  });

  test('a header alone reserves little memory', () => {
    const parser = new RespParser();
    parser.push(Buffer.from('*2\r\n$3\r\nGET\r\n$8388608\r\n'));
    expect(parser.next()).toBe('more');
    expect(parser.ownedBytes).toBeLessThanOrEqual(256 * 1024);
  });
});
