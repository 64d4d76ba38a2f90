import fc from 'fast-check';
import { expect, test } from 'vitest';
import { RespParser } from '../src/index.ts';
import { encode } from './harness.ts';

/** Commands (and the final problem) of a stream received in pieces cut at the given places. */
function parseSplit(stream: Buffer, cuts: readonly number[]): string[][] {
  const parser = new RespParser();
  const commands: string[][] = [];
  const places = [...cuts.map((cut) => cut % (stream.length + 1)), stream.length];
  let from = 0;
  for (const to of places.sort((a, b) => a - b)) {
    // A piece of its own, as a socket delivers it.
    parser.push(Buffer.from(stream.subarray(from, to)));
    from = to;
    for (;;) {
      const outcome = parser.next();
      if (outcome === 'error') return [...commands, ['!', parser.problem]];
      if (outcome === 'more') break;
      commands.push(Array.from({ length: parser.argc }, (_, i) => parser.text(i)));
    }
  }
  return commands;
}

const argument = fc.uint8Array({ maxLength: 40 }).map((b) => Buffer.from(b).toString('latin1'));
const command = fc.array(argument, { minLength: 1, maxLength: 6 });
const cuts = fc.array(fc.nat(), { maxLength: 12 });

test('the same commands come out however the stream is split', () => {
  fc.assert(
    fc.property(fc.array(command, { maxLength: 8 }), cuts, (commands, where) => {
      const stream = Buffer.concat(commands.map((args) => encode(...args)));
      expect(parseSplit(stream, where)).toEqual(commands);
    }),
  );
});

test('any bytes give the same commands and the same problem however they are split, and no throw', () => {
  const pieces = fc.oneof(
    fc.uint8Array({ maxLength: 20 }).map((bytes) => Buffer.from(bytes)),
    fc
      .constantFrom(
        '*2\r\n',
        '$3\r\n',
        'abc\r\n',
        '$-1\r\n',
        '*x',
        '\r\n',
        'get "a',
        '*1\r\n$1\r\na\r\n',
      )
      .map((text) => Buffer.from(text)),
    command.map((args) => encode(...args)),
  );
  fc.assert(
    fc.property(fc.array(pieces, { maxLength: 10 }), cuts, (parts, where) => {
      const stream = Buffer.concat(parts);
      expect(parseSplit(stream, where)).toEqual(parseSplit(stream, []));
    }),
    { numRuns: 500 },
  );
});
