import { describe, expect, it } from 'vitest';
import { checkAmbient } from '../ambient.mjs';

function lines(file: string, source: string): number[] {
  return checkAmbient(file, source).map(({ line }) => line);
}

const host = 'packages/host/src/turn.ts';

describe('the ban on ambient time, randomness and I/O', () => {
  it('catches the clock, timers and chance in every package but io', () => {
    expect(lines(host, 'const now = Date.now();')).toEqual([1]);
    expect(lines(host, 'const now = new Date();')).toEqual([1]);
    expect(lines('packages/wal/src/a.ts', 'const x = Math.random();')).toEqual([1]);
    expect(lines('packages/transport/src/a.ts', '\nsetTimeout(() => {}, 5);')).toEqual([2]);
    expect(lines('packages/wal/src/a.ts', 'const at = performance.now();')).toEqual([1]);
    expect(lines('packages/sharding/src/a.ts', 'setImmediate(run); queueMicrotask(run);')).toEqual([
      1, 1,
    ]);
    expect(lines('packages/core/src/a.ts', 'process.nextTick(run);')).toEqual([1]);
    expect(lines('packages/kv/src/store.ts', 'const t = process.hrtime.bigint();')).toEqual([1]);
    expect(lines('packages/io/src/node-clock.ts', 'setTimeout(run, Date.now());')).toEqual([]);
    expect(lines('bench/src/a.ts', 'setTimeout(run, Date.now());')).toEqual([]);
  });

  it('catches detours to the same names', () => {
    expect(lines(host, 'globalThis.setTimeout(run, 5);')).toEqual([1]);
    expect(lines(host, "globalThis['setTimeout'](run, 5);")).toEqual([1]);
    expect(lines(host, 'const { random } = Math;')).toEqual([1]);
    expect(lines(host, "const x = Math['random']();")).toEqual([1]);
    expect(lines(host, 'const later = setTimeout;')).toEqual([1]);
    expect(lines(host, 'const all = [...crypto.getRandomValues(x)];')).toEqual([1]);
    expect(lines(host, 'const s = AbortSignal.timeout(5);')).toEqual([1]);
    expect(lines(host, 'const s = `${Date.now()}`;')).toEqual([1]);
    expect(lines(host, 'names.sort((a, b) => a.localeCompare(b));')).toEqual([1]);
    expect(lines(host, 'const ref = new WeakRef(x);')).toEqual([1]);
  });

  it('catches modules that reach the outside, however they are imported', () => {
    expect(lines(host, `import * as fs from 'node:fs';`)).toEqual([1]);
    expect(lines(host, `import { readFile } from 'fs/promises';`)).toEqual([1]);
    expect(lines(host, `const fs = require('node:fs');`)).toEqual([1]);
    expect(lines(host, `const fs = createRequire(import.meta.url)('node:fs');`)).toEqual([1]);
    expect(lines(host, `const net = await import('node:net');`)).toEqual([1]);
    expect(lines(host, `import { parentPort } from 'node:worker_threads';`)).toEqual([1]);
    expect(lines(host, `import * as timers from 'node:timers/promises';`)).toEqual([1]);
    expect(lines(host, `import { inspect } from 'node:util';`)).toEqual([]);
  });

  it('lets the same words stand where they name something else', () => {
    expect(lines(host, 'const ms = this.#clock.performance + config.Date;')).toEqual([]);
    expect(lines(host, 'const options = { process: 1, console: 2 };')).toEqual([]);
    expect(lines(host, 'interface A { readonly global: number; crypto?: string }')).toEqual([]);
    expect(lines(host, 'class A { fetch(key: string): void { this.#go(key); } }')).toEqual([]);
    expect(lines(host, '// Date.now() is banned here, and setTimeout is too.')).toEqual([]);
    expect(lines(host, `throw new Error('setTimeout: Math.random()');`)).toEqual([]);
    expect(lines(host, 'const x = Math.max(1, Math.floor(y));')).toEqual([]);
    expect(lines(host, 'const globalBytes = 1; const updateDate = 2;')).toEqual([]);
  });

  it('opens the network, and nothing else, to the socket of kv', () => {
    const source = `import * as net from 'node:net';\nimport * as fs from 'node:fs';\nDate.now();`;
    expect(lines('packages/kv/src/resp-server.ts', source)).toEqual([2, 3]);
    expect(lines('packages/kv/src/store.ts', source)).toEqual([1, 2, 3]);
  });

  it('catches a ternary and a statement that only look like a property or a method', () => {
    expect(lines(host, 'const f = slow ? setTimeout : run;')).toEqual([1]);
    expect(lines(host, '{ setTimeout(run, 5); }')).toEqual([1]);
  });
});
