// The I/O thread: what it is asked to write stands in the file when it answers, in order and once, whichever side sleeps;
// its errors are the system's, and its end fails what nobody knows the outcome of.

import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { IoThread, type IoThreadOptions } from '../src/io-thread.ts';
import { NodeDisk } from '../src/node-disk.ts';
import type { AlignedMemory, File, IoError } from '../src/world.ts';

const page = 4096;
let directory = '';
let path = '';
let fd = -1;
let thread: IoThread;

function start(options: IoThreadOptions = {}): void {
  thread = new IoThread(options);
}

function memoryOf(bytes: number): Uint8Array {
  const memory = thread.memory(bytes);
  if (memory === null) throw new Error('no aligned memory here');
  return memory.bytes;
}

/** Writes and answers how many bytes were written. */
function write(buffers: readonly Uint8Array[], offset: number, to = fd): Promise<number> {
  return new Promise((resolve, reject) => {
    const isTaken = thread.write(to, buffers, offset, (error, written) =>
      error === null ? resolve(written) : reject(error),
    );
    if (!isTaken) reject(new Error('not taken'));
  });
}

/** What a process of its own, which has the file open, prints; it must end by itself and well. */
function runAlone(source: string, ...flags: string[]): string {
  const module = new URL('../dist/io-thread.js', import.meta.url).href;
  const head = `
    import * as fs from 'node:fs';
    import { IoThread } from '${module}';
    const fd = fs.openSync(${JSON.stringify(path)}, 'w');`;
  const args = [...flags, '--input-type=module', '-e', head + source];
  const { status, stdout, stderr } = spawnSync(process.execPath, args, {
    encoding: 'utf8',
    timeout: 30_000,
  });
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  return stdout;
}

beforeEach(() => {
  directory = fs.mkdtempSync(join(tmpdir(), 'flotilla-io-thread-'));
  path = join(directory, 'file');
  fd = fs.openSync(path, 'w+');
});

afterEach(() => {
  thread.end();
  fs.closeSync(fd);
  fs.rmSync(directory, { recursive: true });
});

describe('the I/O thread', () => {
  for (const [name, options] of [
    ['both sides look for each other', {}],
    ['the thread sleeps between requests', { spinMs: 0 }],
    ['the event loop sleeps until it is told', { pollMs: 0 }],
    ['both sleep', { spinMs: 0, pollMs: 0 }],
  ] as const) {
    it(`writes what it is asked to, one request after the other, where ${name}`, async () => {
      start(options);
      const memory = memoryOf(page);
      for (let i = 0; i < 300; i++) {
        memory.fill(i & 0xff);
        expect(await write([memory], i * page)).toBe(page);
      }
      const content = fs.readFileSync(path);
      for (let i = 0; i < 300; i++) {
        expect(
          content.subarray(i * page, (i + 1) * page).every((byte) => byte === (i & 0xff)),
        ).toBe(true);
      }
    });
  }

  it('writes several buffers of several memories back to back', async () => {
    start();
    const [a, b] = [memoryOf(2 * page).fill(1), memoryOf(page).fill(2)];
    const buffers = [a.subarray(page), b, a.subarray(0, 10)];
    expect(await write(buffers, 7)).toBe(2 * page + 10);
    expect(fs.readFileSync(path)).toEqual(Buffer.concat([Buffer.alloc(7), ...buffers]));
  });

  it('answers in the order of the requests, and refuses the one for which its ring has no place', async () => {
    start();
    const memory = memoryOf(page);
    const answered: number[] = [];
    const all: Promise<unknown>[] = [];
    for (let i = 0; i < 64; i++) {
      all.push(write([memory], i * page).then(() => answered.push(i)));
    }
    expect(thread.write(fd, [memory], 0, () => {})).toBe(false);
    expect(answered).toEqual([]);
    await Promise.all(all);
    expect(answered).toEqual(Array.from({ length: 64 }, (_, i) => i));
    expect(fs.statSync(path).size).toBe(64 * page);
  });

  it('refuses memory that is not its own, and more buffers than a request has places for', () => {
    start();
    const memory = memoryOf(page);
    expect(thread.write(fd, [new Uint8Array(page)], 0, () => {})).toBe(false);
    expect(thread.write(fd, new Array<Uint8Array>(9).fill(memory), 0, () => {})).toBe(false);
  });

  it("answers the system's errors with their codes, and goes on", async () => {
    start();
    const memory = memoryOf(page);
    const readOnly = fs.openSync(path, 'r');
    await expect(write([memory], 0, readOnly)).rejects.toMatchObject({ code: 'EBADF' });
    fs.closeSync(readOnly);
    expect(await write([memory], 0)).toBe(page);
  });

  it('fails with EIO what is in flight when it ends by itself, and everything after it', async () => {
    start({ entry: new URL('data:text/javascript,process.exit(3)') });
    const memory = memoryOf(page);
    const asked = [write([memory], 0), write([memory], page)];
    for (const each of await Promise.allSettled(asked)) {
      expect(each).toMatchObject({ status: 'rejected', reason: { code: 'EIO' } });
    }
    const later: IoError | null = await new Promise((resolve) =>
      thread.write(fd, [memory], 0, resolve),
    );
    expect(later?.message).toContain('the I/O thread is gone: it ended with code 3');
  });

  it('answers what it had done when it ended by itself, and fails the rest', async () => {
    // Takes two requests, says that the first one is done (a page was written), and ends.
    const source = `
      import { workerData } from 'node:worker_threads';
      const words = new Int32Array(workerData.ring, 0, 2);
      while (Atomics.load(words, 0) < 2) Atomics.wait(words, 0, Atomics.load(words, 0), 1);
      new Float64Array(workerData.ring, 64)[2] = ${page};
      Atomics.store(words, 1, 1);
      process.exit(3);`;
    start({ entry: new URL(`data:text/javascript,${encodeURIComponent(source)}`), pollMs: 0 });
    const memory = memoryOf(page);
    const [first, second] = await Promise.allSettled([write([memory], 0), write([memory], page)]);
    expect(first).toEqual({ status: 'fulfilled', value: page });
    expect(second).toMatchObject({ status: 'rejected', reason: { code: 'EIO' } });
  });

  it('answers each request once where it is told to end with some in flight, and may be told twice', async () => {
    start({ pollMs: 0 });
    const memory = memoryOf(page);
    const answers = new Array<number>(20).fill(0);
    const all = answers.map((_, i) =>
      write([memory], i * page)
        .catch((error: IoError) => expect(error.code).toBe('EIO'))
        .then(() => answers.splice(i, 1, (answers[i] as number) + 1)),
    );
    thread.end();
    thread.end();
    await Promise.all(all);
    expect(answers).toEqual(answers.map(() => 1));
    await expect(write([memory], 0)).rejects.toMatchObject({ code: 'EIO' });
  });

  it('keeps no process alive, told to end or not', () => {
    for (const last of ['', 'thread.end();']) {
      expect(runAlone(`const thread = new IoThread(); thread.memory(4096); ${last}`)).toBe('');
    }
    start();
  });

  it('keeps a process alive that waits for an answer, asleep or not', () => {
    for (const pollMs of [0, 1]) {
      const source = `
        const thread = new IoThread({ pollMs: ${pollMs} });
        thread.write(fd, [thread.memory(64 << 20).bytes], 0, (error, written) => console.log(error, written));`;
      expect(runAlone(source)).toBe(`null ${64 << 20}\n`);
    }
    start();
  });

  it('holds what it is to write until that is answered, though nobody else does', () => {
    const source = `
      const thread = new IoThread({ spinMs: 0 });
      let waiting = 0;
      const ask = (bytes) => {
        waiting++;
        const isTaken = thread.write(fd, [thread.memory(bytes).bytes], 0, (error) => {
          if (error !== null) throw error;
          waiting--;
        });
        if (!isTaken) throw new Error('not taken');
      };
      for (let round = 0; round < 5; round++) {
        for (let i = 0; i < 9; i++) ask(i === 0 ? 32 << 20 : 65536);
        while (waiting > 0) {
          gc();
          await new Promise((resolve) => setImmediate(resolve));
        }
      }
      console.log('all is written');`;
    expect(runAlone(source, '--expose-gc')).toBe('all is written\n');
    start();
  });

  it('gives memory back to the system that nobody uses any more', () => {
    const source = `
      const thread = new IoThread();
      let most = 0;
      for (let i = 0; i < 300; i++) {
        const memory = thread.memory(4 << 20).bytes.fill(1);
        await new Promise((resolve) => thread.write(fd, [memory.subarray(0, 4096)], 0, resolve));
        most = Math.max(most, process.memoryUsage.rss());
      }
      console.log(most < 800 * 2 ** 20 ? 'given back' : 'piled up to ' + most);`;
    expect(runAlone(source)).toBe('given back\n');
    start();
  });

  it('answers the others where a callback throws', () => {
    const source = `
      process.on('uncaughtException', (error) => console.log(error.message));
      const ask = (thread) => {
        const memory = thread.memory(4096).bytes;
        for (let i = 0; i < 3; i++) {
          thread.write(fd, [memory], 0, (error) => {
            throw new Error(error === null ? 'mine' : 'mine, of ' + error.code);
          });
        }
      };
      ask(new IoThread());
      ask(new IoThread({ pollMs: 0, entry: new URL('data:text/javascript,process.exit(3)') }));`;
    const lines = runAlone(source).trimEnd().split('\n').sort();
    expect(lines).toEqual([...Array(3).fill('mine'), ...Array(3).fill('mine, of EIO')]);
    start();
  });
});

describe('a disk with an I/O thread', () => {
  it('writes all of many direct writes at once, through the thread and past it', async () => {
    start();
    const disk = new NodeDisk(thread);
    const { bytes: memory } = disk.alignedMemory(200 * page) as AlignedMemory;
    for (let i = 0; i < memory.length; i++) memory[i] = (i / page) & 0xff;
    fs.ftruncateSync(fd, memory.length);
    const file = await new Promise<File | null>((resolve, reject) =>
      disk.open(path, 'writeDirect', (error, opened) => {
        if (error === null) resolve(opened);
        else if (error.code === 'EINVAL') resolve(null);
        else reject(error);
      }),
    );
    // A file system without O_DIRECT has nothing to write this way.
    if (file === null) return;
    const writes = Array.from({ length: 200 }, (_, i) => {
      const part = memory.subarray(i * page, (i + 1) * page);
      return new Promise<number>((resolve, reject) =>
        disk.writev(file, [part], i * page, (error, written) =>
          error === null ? resolve(written) : reject(error),
        ),
      );
    });
    expect(new Set(await Promise.all(writes))).toEqual(new Set([page]));
    await new Promise<void>((resolve) => disk.close(file, () => resolve()));
    expect(Buffer.compare(fs.readFileSync(path), Buffer.from(memory.slice()))).toBe(0);
  });
});
