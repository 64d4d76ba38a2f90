import { spawn, spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { NodeDisk } from '../src/node-disk.ts';
import { PidFile } from '../src/pid-file.ts';
import type { FileLock, IoError } from '../src/world.ts';

let folder: string;
beforeEach(() => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'flotilla-pid-'));
});
afterEach(() => {
  vi.unstubAllEnvs();
  fs.rmSync(folder, { recursive: true, force: true });
});

const at = (name: string): string => path.join(folder, name);

describe('a lock without flock(1)', () => {
  it('is taken once, and again after it was released, and leaves nothing else behind', () => {
    const lock = PidFile.take(at('LOCK.pid'));
    expect(lock?.holds()).toBe(true);
    expect(PidFile.take(at('LOCK.pid'))).toBeNull();
    expect(fs.readdirSync(folder)).toEqual(['LOCK.pid']);
    lock?.release();
    expect(fs.readdirSync(folder)).toEqual([]);
    expect(PidFile.take(at('LOCK.pid'))?.holds()).toBe(true);
  });

  it('is refused while its owner, another process, runs, and free once that was killed', async () => {
    const owner = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)']);
    try {
      const { pid = 0 } = owner;
      const stat = fs.readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ')[1]?.split(' ') ?? [];
      const boot = fs.readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim();
      fs.writeFileSync(at('LOCK.pid'), `${pid} ${stat[19]}@${boot}`);
      expect(PidFile.take(at('LOCK.pid'))).toBeNull();
      const ended = new Promise((resolve) => owner.once('exit', resolve));
      owner.kill('SIGKILL');
      await ended;
      expect(PidFile.take(at('LOCK.pid'))?.holds()).toBe(true);
    } finally {
      owner.kill('SIGKILL');
    }
  });

  it('is free where another process has the pid of its owner by now', () => {
    fs.writeFileSync(at('LOCK.pid'), `${process.pid} 1@another-boot`);
    expect(PidFile.take(at('LOCK.pid'))?.holds()).toBe(true);
  });

  it('is free where the file names nobody: no crash leaves it locked for good', () => {
    for (const content of ['', ' ', '0 0@x', '-1 ', 'no pid', '99999999999 1@x']) {
      fs.writeFileSync(at('LOCK.pid'), content);
      const lock = PidFile.take(at('LOCK.pid'));
      expect([content, lock?.holds()]).toEqual([content, true]);
      lock?.release();
    }
  });

  it('says that it is lost when another process took it, and does not take it away from that one', () => {
    const lock = PidFile.take(at('LOCK.pid'));
    fs.writeFileSync(at('LOCK.pid'), '1 somebody');
    expect(lock?.holds()).toBe(false);
    lock?.release();
    expect(fs.readFileSync(at('LOCK.pid'), 'utf8')).toBe('1 somebody');
  });

  it('is what a disk falls back to where the program is missing', async () => {
    vi.stubEnv('PATH', folder);
    expect((spawnSync('flock', ['-V']).error as IoError | undefined)?.code).toBe('ENOENT');
    const disk = new NodeDisk();
    const take = (): Promise<FileLock> =>
      new Promise((resolve, reject) => {
        disk.lock(at('LOCK'), (error, lock) => (error === null ? resolve(lock) : reject(error)));
      });
    const lock = await take();
    expect(fs.readdirSync(folder)).toEqual(['LOCK', 'LOCK.pid']);
    await expect(take()).rejects.toMatchObject({ code: 'EWOULDBLOCK' });
    expect(lock.isIntact()).toBe(true);
    fs.rmSync(at('LOCK.pid'));
    expect(lock.isIntact()).toBe(false);
    lock.release();
    (await take()).release();
    expect(fs.readdirSync(folder)).toEqual(['LOCK']);
  });
});
