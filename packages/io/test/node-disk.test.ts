import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { afterAll, describe, expect, it, vi } from 'vitest';
import { alignedMemory } from '../src/aligned-memory.ts';
import { NodeDisk } from '../src/node-disk.ts';
import type {
  AlignedMemory,
  Callback,
  Done,
  File,
  FileLock,
  FileStat,
  IoError,
  VolumeInfo,
} from '../src/world.ts';

const root = fs.mkdtempSync(path.join(os.tmpdir(), 'flotilla-disk-'));
afterAll(() => fs.rmSync(root, { recursive: true, force: true }));
const at = (name: string): string => path.join(root, name);
const disk = new NodeDisk();

/** A call's result as a promise, with the proof that it did not come from inside the call. */
function value<T>(call: (callback: Callback<T>) => void): Promise<T> {
  return new Promise((resolve, reject) => {
    let isInside = true;
    call((error, result) => {
      expect(isInside).toBe(false);
      if (error === null) resolve(result);
      else reject(error);
    });
    isInside = false;
  });
}
const done = (call: (done: Done) => void): Promise<void> =>
  value<void>((callback) => call((error) => callback(error, undefined)));
const codeOf = (call: Promise<unknown>): Promise<unknown> =>
  call.then(
    () => 'ok',
    (error: IoError) => error.code,
  );

describe('NodeDisk', () => {
  it('writes buffers back to back at an offset, makes them durable and reads them again', async () => {
    const file = await value<File>((cb) => disk.open(at('file'), 'create', cb));
    const buffers = [Buffer.from('one,'), Buffer.from('two,'), Buffer.from('three')];
    expect(await value((cb) => disk.writev(file, buffers, 4, cb))).toBe(13);
    expect(await value((cb) => disk.writev(file, [Buffer.from('zero')], 0, cb))).toBe(4);
    await done((cb) => disk.datasync(file, cb));
    const target = new Uint8Array(64);
    expect(await value((cb) => disk.read(file, target, 0, cb))).toBe(17);
    expect(Buffer.from(target.subarray(0, 17)).toString()).toBe('zeroone,two,three');
    expect(await value((cb) => disk.read(file, target, 17, cb))).toBe(0);
    await done((cb) => disk.truncate(file, 4, cb));
    expect(await value<FileStat>((cb) => disk.stat(at('file'), cb))).toEqual({
      kind: 'file',
      bytes: 4,
      links: 1,
    });
    await done((cb) => disk.close(file, cb));
    expect(fs.statSync(at('file')).mode & 0o777).toBe(0o600);
  });

  it('creates only where the name is free and opens only what is there', async () => {
    fs.writeFileSync(at('taken'), 'mine');
    expect(await codeOf(value((cb) => disk.open(at('taken'), 'create', cb)))).toBe('EEXIST');
    expect(await codeOf(value((cb) => disk.open(at('absent'), 'write', cb)))).toBe('ENOENT');
    expect(await codeOf(value((cb) => disk.open(at('absent'), 'read', cb)))).toBe('ENOENT');
    const file = await value<File>((cb) => disk.open(at('taken'), 'read', cb));
    expect(await codeOf(value((cb) => disk.writev(file, [Buffer.from('x')], 0, cb)))).toBe('EBADF');
    await done((cb) => disk.close(file, cb));
    expect(fs.readFileSync(at('taken'), 'utf8')).toBe('mine');
  });

  it('follows no symbolic link, whatever the mode (T17)', async () => {
    fs.writeFileSync(at('target'), 'secret');
    fs.symlinkSync(at('target'), at('link'));
    for (const mode of ['read', 'write', 'writeSync', 'writeDirect'] as const) {
      expect(await codeOf(value((cb) => disk.open(at('link'), mode, cb)))).toBe('ELOOP');
    }
    expect(await codeOf(value((cb) => disk.open(at('link'), 'create', cb)))).toBe('EEXIST');
    expect((await value<FileStat>((cb) => disk.stat(at('link'), cb))).kind).toBe('symlink');
    expect(await codeOf(value((cb) => disk.lock(at('link'), cb)))).toBe('ELOOP');
  });

  it('makes, lists, renames, removes and syncs what is in a directory', async () => {
    const dir = at('dir');
    await done((cb) => disk.mkdir(dir, cb));
    expect(fs.statSync(dir).mode & 0o777).toBe(0o700);
    expect(await codeOf(done((cb) => disk.mkdir(dir, cb)))).toBe('EEXIST');
    for (const name of ['b', 'a', 'B']) fs.writeFileSync(path.join(dir, name), name);
    expect(await value((cb) => disk.list(dir, cb))).toEqual(['B', 'a', 'b']);
    await done((cb) => disk.rename(path.join(dir, 'a'), path.join(dir, 'c'), cb));
    await done((cb) => disk.unlink(path.join(dir, 'B'), cb));
    await done((cb) => disk.syncDir(dir, cb));
    expect(await value((cb) => disk.list(dir, cb))).toEqual(['b', 'c']);
    expect((await value<FileStat>((cb) => disk.stat(dir, cb))).kind).toBe('directory');
    expect(await codeOf(value((cb) => disk.list(at('absent'), cb)))).toBe('ENOENT');
    expect(await codeOf(value((cb) => disk.stat(at('absent'), cb)))).toBe('ENOENT');
    expect(await codeOf(done((cb) => disk.syncDir(at('absent'), cb)))).toBe('ENOENT');
  });

  it('gives a lock to one holder at a time, and notices that its file was taken away', async () => {
    const lock = await value<FileLock>((cb) => disk.lock(at('LOCK'), cb));
    expect(lock.isIntact()).toBe(true);
    expect(await codeOf(value((cb) => disk.lock(at('LOCK'), cb)))).toBe('EWOULDBLOCK');
    lock.release();
    const next = await value<FileLock>((cb) => disk.lock(at('LOCK'), cb));
    fs.rmSync(at('LOCK'));
    expect(next.isIntact()).toBe(false);
    next.release();
  });
});

/** ext4: it refuses what is not aligned. Others may take it, or may not be written past the page cache at all. */
const strictType = 0xef53;

describe('writes past the page cache', () => {
  const block = 4096;

  async function opened(name: string): Promise<{ file: File | null; isStrict: boolean }> {
    fs.writeFileSync(at(name), Buffer.alloc(4 * block, 1));
    const { type } = await value<VolumeInfo>((cb) => disk.volume(root, cb));
    const isStrict = type === strictType && process.platform === 'linux';
    try {
      const file = await value<File>((cb) => disk.open(at(name), 'writeDirect', cb));
      return { file, isStrict };
    } catch (error) {
      expect([(error as IoError).code, isStrict]).toEqual(['EINVAL', false]);
      return { file: null, isStrict };
    }
  }

  it('puts aligned memory into the file at whole blocks, for every reader to see', async () => {
    const { file } = await opened('direct');
    if (file === null) return;
    const { bytes: memory } = disk.alignedMemory(3 * block) as AlignedMemory;
    memory.subarray(block, 2 * block).fill(2);
    memory.subarray(2 * block).fill(3);
    const buffers = [memory.subarray(2 * block), memory.subarray(block, 2 * block)];
    // A file system that takes the descriptor and refuses the write says so by EINVAL as well.
    let written = 0;
    const write = value<number>((cb) => disk.writev(file, buffers, block, cb));
    const code = await codeOf(write.then((bytes) => (written = bytes)));
    expect(['ok', 'EINVAL']).toContain(code);
    await done((cb) => disk.close(file, cb));
    const found = fs.readFileSync(at('direct'));
    const expected = code === 'ok' ? [1, 3, 2, 1] : [1, 1, 1, 1];
    expect(written).toBe(code === 'ok' ? 2 * block : 0);
    expect([0, 1, 2, 3].map((i) => found[i * block])).toEqual(expected);
    expect(found.length).toBe(4 * block);
  });

  it('refuses with EINVAL, where the file system is strict, what is not aligned, and leaves the file as it was', async () => {
    const { file, isStrict } = await opened('odd');
    if (file === null) return;
    const memory = (disk.alignedMemory(2 * block) as AlignedMemory).bytes.fill(9);
    const odd: [Uint8Array, number][] = [
      [memory.subarray(1, 1 + block), 0],
      [memory.subarray(0, block), 100],
      [memory.subarray(0, 100), 0],
    ];
    for (const [bytes, offset] of odd) {
      const code = await codeOf(value((cb) => disk.writev(file, [bytes], offset, cb)));
      expect(isStrict ? ['EINVAL'] : ['EINVAL', 'ok']).toContain(code);
    }
    if (isStrict) {
      const found = fs.readFileSync(at('odd'));
      expect(found.equals(Buffer.alloc(4 * block, 1))).toBe(true);
      const whole = memory.subarray(0, block);
      expect(await value((cb) => disk.writev(file, [whole], 0, cb))).toBe(block);
    }
    await done((cb) => disk.close(file, cb));
  });

  it('has no aligned memory to give where there is no WebAssembly, no room, or no sense in the size', () => {
    const { bytes: memory, wasm } = alignedMemory(100_000) as AlignedMemory;
    expect([memory.length, memory.byteOffset]).toEqual([100_000, 0]);
    expect(memory.every((byte) => byte === 0)).toBe(true);
    expect(wasm?.buffer).toBe(memory.buffer);
    for (const bytes of [0, -1, Number.NaN, 2 ** 40]) expect(alignedMemory(bytes)).toBeNull();
    class NoRoom {
      constructor() {
        throw new RangeError('could not allocate memory');
      }
    }
    try {
      for (const stub of [undefined, { Memory: NoRoom }]) {
        vi.stubGlobal('WebAssembly', stub);
        expect(alignedMemory(4096)).toBeNull();
      }
    } finally {
      vi.unstubAllGlobals();
    }
    expect(alignedMemory(4096)).not.toBeNull();
  });
});
