import { describe, expect, it } from 'vitest';
import { checkImports, importsOf } from '../imports.mjs';

const manifest = { dependencies: ['@flotilla/io', '@flotilla/codec', '@flotilla/wal', 'crc-32'] };

function messages(file: string, source: string): string[] {
  return checkImports(file, source, manifest).map(({ line, message }) => `${line}: ${message}`);
}

describe('the direction of imports', () => {
  it('lets a package import those below it', () => {
    const source = `import { assert } from '@flotilla/io';\nimport type { A } from './a.ts';`;
    expect(messages('packages/wal/src/log.ts', source)).toEqual([]);
  });

  it('catches a package that imports one it must not know', () => {
    const source = `// head\nimport { Host } from '@flotilla/host';`;
    expect(messages('packages/wal/src/log.ts', source)).toEqual(['2: wal must not know host']);
    expect(messages('packages/io/src/a.ts', `export * from '@flotilla/codec';`)).toHaveLength(1);
    expect(messages('packages/kv/src/a.ts', `import '@flotilla/wal';`)).toHaveLength(1);
  });

  it('catches core importing anything, types of Node.js included', () => {
    for (const specifier of ['node:fs', 'node:util', '@flotilla/io', 'crc-32']) {
      const source = `import type { X } from '${specifier}';`;
      expect(messages('packages/core/src/raft.ts', source)).toHaveLength(1);
    }
    expect(messages('packages/core/src/raft.ts', `import { X } from './log.ts';`)).toEqual([]);
  });

  it('catches a way past the front door of another package', () => {
    const file = 'packages/host/src/host.ts';
    expect(messages(file, `import { x } from '@flotilla/wal/dist/slab.js';`)).toHaveLength(1);
    expect(messages(file, `import { x } from '../../wal/src/slab.ts';`)).toHaveLength(1);
    expect(messages(file, `import { x } from './parts/../turn.ts';`)).toEqual([]);
  });

  it('catches a relative import without its extension', () => {
    expect(messages('packages/wal/src/a.ts', `import { b } from './b';`)).toHaveLength(1);
    expect(messages('packages/wal/src/a.ts', `import { b } from './b.js';`)).toHaveLength(1);
  });

  it('catches a package that the manifest does not declare', () => {
    expect(messages('packages/wal/src/a.ts', `import x from 'left-pad/sub';`)).toEqual([
      '1: left-pad is not among the dependencies of packages/wal/package.json',
    ]);
  });

  it('catches imports at run time, whatever their argument', () => {
    const file = 'packages/wal/src/a.ts';
    expect(messages(file, `const x = await import('@flotilla/io');`)).toHaveLength(1);
    expect(messages(file, 'const x = await import(`${name}`);')).toHaveLength(1);
  });

  it('catches a require whose module cannot be read off the source', () => {
    const file = 'packages/codec/src/a.ts';
    const head = `import { createRequire } from 'node:module';\n`;
    const good = `${head}const x = createRequire(import.meta.url)('crc-32');`;
    expect(messages(file, good)).toEqual([]);
    expect(messages(file, `${head}const r = createRequire(import.meta.url);`)).toHaveLength(1);
    expect(messages(file, `${head}const x = createRequire(import.meta.url)(name);`)).toHaveLength(
      1,
    );
    expect(
      messages(file, `${head}const x = createRequire(import.meta.url)('a' + b);`),
    ).toHaveLength(1);
    expect(messages(file, `const x = require(name);`)).toHaveLength(1);
  });

  it('lets the pure parts of node:crypto in and the random ones not', () => {
    const file = 'packages/transport/src/a.ts';
    expect(messages(file, `import { createHash, timingSafeEqual } from 'node:crypto';`)).toEqual(
      [],
    );
    expect(messages(file, `import { createHash, randomBytes } from 'node:crypto';`)).toHaveLength(
      1,
    );
    expect(messages(file, `import { randomInt as createHash } from 'node:crypto';`)).toHaveLength(
      1,
    );
    expect(messages(file, `import * as crypto from 'node:crypto';`)).toHaveLength(1);
    const required = `const c = createRequire(import.meta.url)('node:crypto');`;
    expect(messages(file, required)).toHaveLength(1);
  });
});

describe('the reading of imports', () => {
  it('finds every form of an import and none in comments, strings and templates', () => {
    const source = [
      `import one from 'one';`,
      `import { type two, three as four } from "two";`,
      `import type { Five } from 'five';`,
      `import 'six';`,
      `import * as seven from 'seven';`,
      `export { eight } from 'eight';`,
      `export * from 'nine';`,
      `const ten = await import('ten');`,
      `const eleven = require('eleven');`,
      `type Twelve = import('twelve').Twelve;`,
      `import {\n  thirteen,\n  // a comment with from 'nowhere'\n} from 'thirteen';`,
      `// import x from 'nowhere';`,
      `/* require('nowhere') */`,
      `const text = "import x from 'nowhere'";`,
      "const template = `import('nowhere') ${require('fourteen')} require('nowhere')`;",
      `const pattern = /import 'nowhere'/;`,
      `import.meta.url; foo.require('nowhere'); foo.import('nowhere');`,
      `export const from = 'nowhere';`,
    ].join('\n');
    const specifiers = 'one two five six seven eight nine ten eleven twelve thirteen fourteen';
    expect(importsOf(source).map(({ specifier }) => specifier)).toEqual(specifiers.split(' '));
  });
});
