import { describe, expect, it } from 'vitest';
import { lineAt, scan } from '../scanner.mjs';

describe('the scanner', () => {
  it('keeps the length and the line breaks of the source', () => {
    const source = 'const a = "x\\"y"; // c\n/* d\n e */ const b = `t${a}\n`; const r = /[/"]/g;\n';
    const { code } = scan(source);
    expect(code).toHaveLength(source.length);
    expect(code.split('\n').map((l) => l.length)).toEqual(source.split('\n').map((l) => l.length));
  });

  it('tells a division from a regular expression', () => {
    expect(scan(`a = b / c; d = 'x' / 2;`).strings).toHaveLength(1);
    expect(scan(`a = b.split(/'/); c = "d";`).strings.map((s) => s.value)).toEqual(['d']);
    expect(scan(`return /"/.test(x) ? 'y' : 'z';`).strings.map((s) => s.value)).toEqual(['y', 'z']);
    expect(scan(`x = (1 + 2) / 3; y = 'z' / 4;`).strings.map((s) => s.value)).toEqual(['z']);
  });

  it('sees the code inside nested templates', () => {
    const { code } = scan('a = `x ${b({ c: `y ${d} z` })} e` + f;');
    expect(code.replaceAll(/[^a-z]/g, '')).toBe('abcdf');
  });

  it('ends an unfinished literal where its line or the source ends', () => {
    expect(scan(`a = 'b\nc = d;`).code).toContain('c = d;');
    expect(scan('a = `b').code).toHaveLength(6);
    expect(scan('/* a').comments).toHaveLength(1);
    expect(scan('a = /b').code).toHaveLength(6);
    expect(scan(`'`).code).toBe(`'`);
  });

  it('counts lines from one', () => {
    expect(lineAt('a\nb\nc', 0)).toBe(1);
    expect(lineAt('a\nb\nc', 2)).toBe(2);
    expect(lineAt('a\nb\nc', 4)).toBe(3);
  });
});
