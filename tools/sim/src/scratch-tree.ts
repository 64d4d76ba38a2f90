// A copy of the sources and builds that a simulation needs, in a folder of its own, where bugs may be planted. Dependencies
// come from the repository's node_modules; links between packages lead to the copy.

import { spawnSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { applyEdit, type Mutant } from './mutant-file.ts';

const folders = [
  'packages/io',
  'packages/codec',
  'packages/core',
  'packages/wal',
  'packages/transport',
  'packages/snapshot',
  'packages/host',
  'packages/sharding',
  'packages/testkit',
  'tools/sim',
];
const parts = ['src', 'dist', 'node_modules', 'package.json', 'tsconfig.json'];

export class ScratchTree {
  readonly root: string;
  readonly #compiler: string;
  readonly #originals: Map<string, string> = new Map();

  constructor(repository: string) {
    this.root = mkdtempSync(join(tmpdir(), 'flotilla-mutants-'));
    this.#compiler = join(repository, 'node_modules', 'typescript', 'bin', 'tsc');
    for (const folder of folders) {
      if (!existsSync(join(repository, folder))) continue;
      mkdirSync(join(this.root, folder), { recursive: true });
      for (const part of parts) {
        const from = join(repository, folder, part);
        if (!existsSync(from)) continue;
        // Relative links stay as they are, and so lead to the copy.
        const options = { recursive: true, verbatimSymlinks: true, preserveTimestamps: true };
        cpSync(from, join(this.root, folder, part), options);
      }
    }
    for (const file of ['package.json', 'tsconfig.base.json']) {
      cpSync(join(repository, file), join(this.root, file));
    }
    symlinkSync(join(repository, 'node_modules'), join(this.root, 'node_modules'), 'dir');
  }

  get script(): string {
    return join(this.root, 'tools', 'sim', 'dist', 'main.js');
  }

  /** Makes the mutant's edits; answers what does not fit, or null. */
  plant(mutant: Mutant): string | null {
    for (const edit of mutant.edits) {
      const path = join(this.root, edit.file);
      if (!existsSync(path)) return `${edit.file} is not there`;
      const source = readFileSync(path, 'utf8');
      const changed = applyEdit(source, edit);
      if (changed === null) return `its text does not occur once in ${edit.file}`;
      if (!this.#originals.has(path)) this.#originals.set(path, source);
      writeFileSync(path, changed);
    }
    return null;
  }

  /** Takes all edits back. */
  restore(): void {
    for (const [path, source] of this.#originals) writeFileSync(path, source);
    this.#originals.clear();
  }

  /** Compiles what changed; answers the compiler's complaints, or null. */
  build(): string | null {
    const args = [this.#compiler, '-b', 'tools/sim'];
    const { status, stdout, stderr } = spawnSync(process.execPath, args, {
      cwd: this.root,
      encoding: 'utf8',
    });
    return status === 0 ? null : `${stdout}${stderr}`;
  }

  remove(): void {
    rmSync(this.root, { recursive: true, force: true });
  }
}
