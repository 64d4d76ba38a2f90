// The command line of wal-inspect on damaged logs in real directories: its exit code and its reason are what the library
// says of the same bytes, it ends in time, and it changes nothing. WAL_INSPECT_IMAGES sets how many (`npm run night`: 500).

import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { SimRng } from '@flotilla/testkit';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  type BaseImage,
  inspectImage,
  makeBase,
} from '../../../packages/wal/test/damage/base-images.ts';
import { damageImage } from '../../../packages/wal/test/damage/damage-image.ts';
import type { Image } from '../../../packages/wal/test/damage/mem-world.ts';
import { exitCodes } from '../src/exit-codes.ts';

const images = Number(process.env.WAL_INSPECT_IMAGES ?? 25);
const first = Number(process.env.WAL_DAMAGE_FIRST ?? 1);
const bases = 12;
const program = fileURLToPath(new URL('../dist/main.js', import.meta.url));

let folder = '';
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'flotilla-test-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function layOut(image: Image, directory: string): void {
  mkdirSync(directory);
  for (const [name, node] of image) {
    const path = join(directory, name);
    if (node === 'directory') mkdirSync(path);
    else if (node === 'symlink') symlinkSync('/dev/null', path);
    else if (node === 'other') spawnSync('mkfifo', [path]);
    else writeFileSync(path, node);
  }
}

function hashOfTree(directory: string): string {
  const hash = createHash('sha256');
  for (const name of readdirSync(directory).sort()) {
    const path = join(directory, name);
    const stat = lstatSync(path);
    hash.update(`${name} ${stat.mode} ${stat.size} ${stat.mtimeMs}\n`);
    if (stat.isFile()) hash.update(readFileSync(path));
  }
  return hash.digest('hex');
}

/** What the exit code must be, from the library's verdict on the same bytes. */
function expectedCode(verdict: string): number {
  if (verdict === 'clean' || verdict === 'cleanEnd') return exitCodes.clean;
  if (verdict === 'torn') return exitCodes.torn;
  if (verdict === 'E_VERSION') return exitCodes.version;
  return ['E_ABSENT', 'E_NOT_FILE', 'E_IO'].includes(verdict) ? exitCodes.io : exitCodes.corrupt;
}

describe('the command line of wal-inspect', () => {
  it(
    `WF64, WF67: says of ${images} damaged logs what the library says, and changes no byte`,
    () => {
      const made = new Map<number, BaseImage>();
      for (let number = first; number < first + images; number++) {
        const seed = 1 + (number % bases);
        const base = made.get(seed) ?? makeBase(seed);
        made.set(seed, base);
        const { files, names } = damageImage(base, new SimRng(number, 'damage'));
        const found = inspectImage(files);
        const verdict = found.refusal?.reason ?? found.verdict;
        const directory = join(folder, `image-${number}`);
        layOut(files, directory);
        const before = hashOfTree(directory);
        const what = `WAL_DAMAGE_FIRST=${number} (${names.join(' + ')})`;
        const command = number % 5 === 0 ? 'explain' : 'verify';
        const { status, stdout, stderr } = spawnSync(
          process.execPath,
          [program, command, directory, '--json'],
          { encoding: 'utf8', timeout: 60_000 },
        );
        expect([what, status, stderr]).toEqual([what, expectedCode(verdict), '']);
        const said = JSON.parse(stdout) as { refusal: { reason: string } | null };
        expect([what, said.refusal?.reason ?? 'none']).toEqual([
          what,
          found.refusal?.reason ?? 'none',
        ]);
        expect([what, hashOfTree(directory)]).toEqual([what, before]);
        rmSync(directory, { recursive: true });
      }
    },
    120_000 + images * 2000,
  );
});
