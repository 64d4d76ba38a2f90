// The bootstrap on a miniature repository whose pnpm and compiler are scripts that write down when they ran.

import { type ChildProcess, spawn } from 'node:child_process';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

const bootstrap = fileURLToPath(new URL('../tools/bootstrap.mjs', import.meta.url));
const lockfile = `lockfileVersion: '9.0'

importers:

  .:
    devDependencies:
      typescript:
        specifier: 7.0.2
        version: 7.0.2

  packages/a:
    dependencies:
      '@scope/b':
        specifier: workspace:*
        version: link:../b

packages:
`;
/** Logs begin and end of its run; what happens between them lets an overlap show. */
const recorder = (name: string, work: string): string => `
const fs = require('node:fs');
fs.appendFileSync('log', '${name}:begin\\n');
${work}
fs.appendFileSync('log', '${name}:end\\n');
`;
const fakePnpm = recorder(
  'install',
  `
fs.mkdirSync('node_modules/typescript/bin', { recursive: true });
fs.copyFileSync('tsc.cjs', 'node_modules/typescript/bin/tsc');
fs.mkdirSync('packages/a/node_modules/@scope/b', { recursive: true });`,
);

let root: string;
let children: ChildProcess[];

beforeEach(() => {
  root = fs.mkdtempSync(join(tmpdir(), 'flotilla-bootstrap-'));
  children = [];
  fs.mkdirSync(join(root, 'tools'));
  fs.copyFileSync(bootstrap, join(root, 'tools', 'bootstrap.mjs'));
  fs.writeFileSync(join(root, 'pnpm-lock.yaml'), lockfile);
  fs.writeFileSync(join(root, 'pnpm-workspace.yaml'), 'packages: [packages/*]\n');
  fs.writeFileSync(join(root, 'package.json'), '{ "packageManager": "pnpm@1.2.3+sha512.00" }');
  fs.writeFileSync(join(root, 'pnpm.cjs'), fakePnpm);
  fs.writeFileSync(join(root, 'tsc.cjs'), recorder('build', ''));
});

afterEach(() => {
  for (const child of children) child.kill('SIGKILL');
  fs.rmSync(root, { recursive: true, force: true });
});

interface Outcome {
  readonly code: number | null;
  readonly output: string;
}

function run(...args: string[]): Promise<Outcome> {
  const env = {
    ...process.env,
    npm_config_user_agent: 'pnpm/1.2.3',
    npm_execpath: join(root, 'pnpm.cjs'),
  };
  const child = spawn(process.execPath, ['tools/bootstrap.mjs', ...args], { cwd: root, env });
  children.push(child);
  let output = '';
  child.stdout.on('data', (chunk) => (output += chunk));
  child.stderr.on('data', (chunk) => (output += chunk));
  return new Promise((resolve) => child.on('close', (code) => resolve({ code, output })));
}

function steps(): string[] {
  const log = join(root, 'log');
  return fs.existsSync(log) ? fs.readFileSync(log, 'utf8').trimEnd().split('\n') : [];
}

const installed = ['install:begin', 'install:end'];
const built = ['build:begin', 'build:end'];

describe('the bootstrap', () => {
  it('installs and builds a fresh clone, then only builds', async () => {
    expect(await run('--quiet')).toEqual({ code: 0, output: '' });
    expect(steps()).toEqual([...installed, ...built]);
    expect(await run('--quiet')).toEqual({ code: 0, output: '' });
    expect(steps()).toEqual([...installed, ...built, ...built]);
  });

  it('installs again when the lockfile changed or a package lost its modules', async () => {
    await run('--no-build');
    fs.appendFileSync(join(root, 'pnpm-lock.yaml'), '\n');
    await run('--no-build');
    fs.rmSync(join(root, 'packages/a/node_modules'), { recursive: true });
    await run('--no-build');
    expect(steps()).toEqual([...installed, ...installed, ...installed]);
  });

  it('runs one at a time, and the others find the work done', async () => {
    const outcomes = await Promise.all([
      run('--quiet'),
      run('--quiet'),
      run('--quiet'),
      run('--quiet'),
    ]);
    expect(outcomes.map(({ code }) => code)).toEqual([0, 0, 0, 0]);
    expect(steps()).toEqual([...installed, ...built, ...built, ...built, ...built]);
    expect(fs.readdirSync(root).filter((name) => name.startsWith('.bootstrap'))).toEqual([]);
  });

  it('breaks the lock of a process that is gone, also where its number lives on', async () => {
    fs.writeFileSync(join(root, '.bootstrap.lock'), `${process.pid} 1`);
    expect((await run('--no-build')).code).toBe(0);
    fs.writeFileSync(join(root, '.bootstrap.lock'), '');
    expect((await run('--no-build')).code).toBe(0);
  });

  it('repeats an install that failed, and shows why even when quiet', async () => {
    fs.writeFileSync(join(root, 'pnpm.cjs'), `console.log('no such host'); process.exit(3);`);
    const failed = await run('--quiet');
    expect(failed.code).toBe(1);
    expect(failed.output).toContain('no such host');
    expect(failed.output).toContain('install failed (exit code 3)');
    fs.writeFileSync(join(root, 'pnpm.cjs'), fakePnpm);
    expect((await run('--quiet')).code).toBe(0);
  });
});
