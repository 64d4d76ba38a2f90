// A lock for systems without the flock(1) program: a file that exists as long as it is held and names its owner by pid and
// start, so that neither a killed owner nor a re-used pid leaves it locked for good. It comes into being whole, by a link:
// nobody ever reads half an owner.
//
// Weaker than flock in one case only: of several processes that find the file of a dead owner at the same moment, one that
// began to look before another one took it can move the new file aside for an instant, in which a third may take it. Then
// the loser finds out by holds(), which the log asks at each rotation.

import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import type { IoError } from './world.ts';

/** Dead owners whose file is broken in one try; others do the same meanwhile. */
const triesMax = 5;

export class PidFile {
  readonly #path: string;
  readonly #owner: string;

  private constructor(path: string, owner: string) {
    this.#path = path;
    this.#owner = owner;
  }

  /** Null = a running process holds it. */
  static take(path: string): PidFile | null {
    const owner = `${process.pid} ${startOf(process.pid)}`;
    const draft = `${path}.${process.pid}`;
    fs.rmSync(draft, { force: true });
    fs.writeFileSync(draft, owner, { flag: 'wx', mode: 0o600 });
    try {
      for (let tries = 0; tries < triesMax; tries++) {
        if (appears(path, draft)) return new PidFile(path, owner);
        const found = contentOf(path);
        if (found === null) continue;
        if (isRunning(found)) return null;
        breakOpen(path, found);
      }
      return null;
    } finally {
      fs.rmSync(draft, { force: true });
    }
  }

  holds(): boolean {
    return contentOf(this.#path) === this.#owner;
  }

  release(): void {
    if (this.holds()) fs.rmSync(this.#path, { force: true });
  }
}

/** Gives the draft the lock's name, unless that name is taken. */
function appears(path: string, draft: string): boolean {
  try {
    fs.linkSync(draft, path);
    return true;
  } catch (error) {
    if ((error as IoError).code === 'EEXIST') return false;
    throw error;
  }
}

/** Takes the file of a dead owner away; one that came in its place meanwhile is put back. */
function breakOpen(path: string, dead: string): void {
  const aside = `${path}.dead.${process.pid}`;
  try {
    fs.renameSync(path, aside);
  } catch (error) {
    if ((error as IoError).code === 'ENOENT') return;
    throw error;
  }
  if (contentOf(aside) !== dead) appears(path, aside);
  fs.rmSync(aside, { force: true });
}

function contentOf(path: string): string | null {
  try {
    return fs.readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as IoError).code === 'ENOENT') return null;
    throw error;
  }
}

/** Whether the owner that a file names runs. What names nobody was not made here, and belongs to nobody. */
function isRunning(owner: string): boolean {
  const [, digits = ''] = /^([1-9]\d{0,9}) /.exec(owner) ?? [];
  if (digits === '') return false;
  const pid = Number(digits);
  return isAlive(pid) && owner === `${pid} ${startOf(pid)}`;
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as IoError).code === 'EPERM';
  }
}

/** When a process began, in words that no later process with its pid has, as far as the system tells. */
function startOf(pid: number): string {
  try {
    const fields = fs.readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ')[1]?.split(' ') ?? [];
    const boot = fs.readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim();
    return `${fields[19] ?? ''}@${boot}`;
  } catch {
    const ps = spawnSync('ps', ['-o', 'lstart=', '-p', String(pid)], { encoding: 'utf8' });
    return ps.error === undefined ? ps.stdout.trim() : '';
  }
}
