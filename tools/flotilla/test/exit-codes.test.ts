import { FlotillaError } from '@flotilla/io';
import { describe, expect, it } from 'vitest';
import { describe as describeError, exitCodeOf, UsageError } from '../src/exit-codes.ts';
import { printable } from '../src/printable.ts';

describe('exit codes', () => {
  it.each([
    ['WAL_LOCKED', 78],
    ['WAL_ABSENT', 78],
    ['WAL_CORRUPT', 78],
    ['IDENTITY_MISMATCH', 78],
    ['CONFIG_INVALID', 78],
    ['IO_REFUSED', 78],
    ['WAL_POISONED', 75],
    ['BUSY', 1],
  ] as const)('%s ends the process with %d', (code, exitCode) => {
    expect(exitCodeOf(new FlotillaError(code, 'x'))).toBe(exitCode);
  });

  it('tell a wrong command line from a broken invariant', () => {
    expect(exitCodeOf(new UsageError('x'))).toBe(64);
    expect(exitCodeOf(new Error('x'))).toBe(70);
  });
});

describe('the text of a failure', () => {
  it('has each detail once, and no character that could deceive a terminal', () => {
    const details = { file: 'a\u001b[2Jb', page: 3, evidence: ['crc 1', 'crc 2'] };
    const text = describeError(new FlotillaError('WAL_CORRUPT', 'page 3 is bad (crc 1)', details));
    expect(text).toBe(
      ['WAL_CORRUPT: page 3 is bad (crc 1)', '  file: a\\u001b[2Jb', '  evidence: crc 2'].join(
        '\n',
      ),
    );
    expect(printable('a\nb\u202ec\r')).toBe('a\nb\\u202ec\\u000d');
  });
});
