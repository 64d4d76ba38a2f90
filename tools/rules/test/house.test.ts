import { describe, expect, it } from 'vitest';
import { checkHouse } from '../house.mjs';

function messages(file: string, source: string): string[] {
  return checkHouse(file, source).map(({ line, message }) => `${line}: ${message}`);
}

describe('the rules of the house', () => {
  it('want every source file to begin with what it is', () => {
    expect(messages('packages/a/src/b.ts', '// What it is.\nexport const b = 1;\n')).toEqual([]);
    expect(messages('packages/a/src/b.ts', '#!/usr/bin/env node\n// It.\nrun();\n')).toEqual([]);
    expect(messages('packages/a/src/b.ts', 'export const b = 1; // late\n')).toHaveLength(1);
    expect(messages('packages/a/src/index.ts', `export { b } from './b.ts';\n`)).toEqual([]);
    expect(messages('packages/a/test/b.test.ts', 'it();\n')).toEqual([]);
  });

  it('find unfinished business in comments, and only there', () => {
    const word = 'TO' + 'DO';
    expect(messages('packages/a/src/b.ts', `// Head.\n\n// ${word} later\n`)).toEqual([
      `3: unfinished: ${word}`,
    ]);
    expect(messages('packages/a/src/b.ts', `// Head.\nconst s = '${word}';\n`)).toEqual([]);
  });

  it('find a file that nobody reads in one sitting', () => {
    expect(messages('packages/a/src/b.ts', `// Head.\n${'x();\n'.repeat(699)}`)).toEqual([]);
    expect(messages('packages/a/src/b.ts', `// Head.\n${'x();\n'.repeat(700)}`)).toHaveLength(1);
  });
});
