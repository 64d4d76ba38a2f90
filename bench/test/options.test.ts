import { describe, expect, it } from 'vitest';
import { type OptionTable, readOptions, UsageError } from '../src/options.ts';

const table = {
  groups: { kind: 'number', default: 48, min: 1, max: 100, help: 'how many' },
  sync: { kind: 'choice', default: 'on', choices: ['on', 'off'], help: 'how' },
  dir: { kind: 'text', default: '', help: 'where' },
} as const satisfies OptionTable;

describe('the options of a suite', () => {
  it('take their defaults where nothing is given', () => {
    expect(readOptions(table, [])).toEqual({ groups: 48, sync: 'on', dir: '' });
  });

  it('are read as what the table says they are', () => {
    const args = ['--groups', '7', '--sync=off', '--dir', 'x'];
    expect(readOptions(table, args)).toEqual({ groups: 7, sync: 'off', dir: 'x' });
  });

  it('list every problem of a command line at once', () => {
    expect(() => readOptions(table, ['--groups', '101', '--sync', 'maybe'])).toThrow(
      /--groups 101: .*from 1 to 100\n--sync maybe: .*on, off/,
    );
  });

  it('refuse what is no number, an empty word included', () => {
    for (const word of ['', ' ', 'x', 'NaN', '1x']) {
      expect(() => readOptions(table, [`--groups=${word}`])).toThrow(UsageError);
    }
  });

  it('refuse a name that the table does not have', () => {
    expect(() => readOptions(table, ['--speed', '9'])).toThrow(/--speed/);
  });
});
