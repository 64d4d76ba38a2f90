// Threads that check a long log ahead of the walk: nothing that an inspection or an opening finds depends on them, however
// they come, dawdle, die or fail to start; and they are gone when it is done.

import * as fs from 'node:fs';
import * as path from 'node:path';
import { createNodeWorld, type Workers, type World } from '@flotilla/io';
import { SimRng } from '@flotilla/testkit';
import { beforeAll, describe, expect, it } from 'vitest';
import type { WalWorld } from '../src/api.ts';
import { inspectDirectory } from '../src/inspect/inspect-directory.ts';
import type { Inspection, InspectOptions } from '../src/inspect/inspection.ts';
import { heldLimits } from '../src/large-batch.ts';
import type { ScanHelp } from '../src/scan-ahead.ts';
import { makeBase } from './damage/base-images.ts';
import { damageImage } from './damage/damage-image.ts';
import { everythingIn } from './damage/judge.ts';
import { type Image, MemWorld } from './damage/mem-world.ts';
import { createLog, openLog, tempDir } from './harness.ts';
import { steppedWorkers } from './stepped-workers.ts';

const kib = 1024;
const mib = 1024 * kib;
const roomy = {
  segmentBytes: 8 * mib,
  slabBytes: mib,
  batchBytesSoft: mib,
  entryBytesMax: mib,
  cacheBytes: 4 * mib,
};
/** A log of any length has threads, and their windows are small. */
const eager = { logBytesMin: 0, windowBytes: 256 * kib, onInfo: () => {} } as const;

let directory = '';
let image: Image = new Map();

/** 20 MiB in three segments: batches of 8 to 80 KiB, and one in ten of half a MiB. */
beforeAll(async () => {
  directory = tempDir();
  const log = await createLog(directory, { ...roomy, syncMethod: 'none', reserve: false });
  const rng = new SimRng(1, 'a long log');
  const slots = [1, 2, 3].map((groupId) => log.group(groupId));
  const nexts = slots.map(() => 1);
  for (let batch = 0, bytes = 0; bytes < 20 * mib; batch++) {
    const from = log.wal.position;
    const wanted = batch % 10 === 9 ? 512 * kib : rng.between(8, 80) * kib;
    while (log.wal.position - from < wanted) {
      const group = rng.below(3);
      const payloads = Array.from({ length: rng.between(1, 20) }, () => 'x'.repeat(rng.below(300)));
      log.append(slots[group] as number, nexts[group] as number, payloads);
      nexts[group] = (nexts[group] as number) + payloads.length;
    }
    await log.sync();
    bytes += log.wal.position - from;
  }
  await log.close();
  image = new Map(
    fs.readdirSync(directory).map((name) => [name, fs.readFileSync(path.join(directory, name))]),
  );
});

function inspectOn(
  world: WalWorld,
  where: string,
  options: InspectOptions = {},
): Promise<Inspection> {
  return new Promise((resolve) => inspectDirectory(world.disk, where, options, resolve));
}

function inspectImage(options: InspectOptions, world: MemWorld): Inspection {
  let found: Inspection | null = null;
  inspectDirectory(world.disk, world.directory, options, (inspection) => {
    found = inspection;
  });
  world.run('inspecting', () => found !== null);
  return found as unknown as Inspection;
}

/** The real world, its threads watched. */
function watched(wrap: (start: Workers['start']) => Workers['start'] = (start) => start): {
  readonly world: World;
  readonly help: Omit<ScanHelp, 'threads'>;
  readonly threads: { started: number; living: number };
  readonly info: string[];
} {
  const real = createNodeWorld();
  const threads = { started: 0, living: 0 };
  const start = wrap((real.workers as Workers).start.bind(real.workers));
  const workers: Workers = {
    cores: 4,
    start: (entry, shared, handlers) => {
      threads.started++;
      threads.living++;
      return start(entry, shared, {
        onTold: () => handlers.onTold(),
        onEnd: (error) => {
          threads.living--;
          handlers.onEnd(error);
        },
      });
    },
  };
  const info: string[] = [];
  const help = { ...eager, workers, clock: real.clock, onInfo: (line: string) => info.push(line) };
  return { world: { ...real, workers }, help, threads, info };
}

describe('threads that check a log ahead of the walk', () => {
  it('change nothing of what is found, in any order of their steps and the walk’s, also of a damaged log', () => {
    let checked = 0;
    let died = 0;
    for (let seed = 1; seed <= 30; seed++) {
      const rng = new SimRng(seed, 'steps');
      const files = new Map(image);
      if (seed % 2 === 0) {
        const name = rng.pick([...files.keys()].filter((one) => one.endsWith('.seg')));
        const bytes = Uint8Array.from(files.get(name) as Uint8Array);
        const at = rng.below(bytes.length);
        bytes[at] = (bytes[at] as number) ^ (1 << rng.below(8));
        files.set(name, bytes);
      }
      // Where larger batches come in parts, the walk leaves the way of the windows and comes back to it.
      const limits = rng.pick([heldLimits, { wholeBatchBytesMax: 128 * kib, partBytes: 32 * kib }]);
      const world = new MemWorld(files);
      const workers = steppedWorkers(world.clock, rng.fork('threads'), rng.pick([0, 0, 300]));
      const help = {
        ...eager,
        workers,
        clock: world.clock,
        threads: rng.between(1, 3),
        windowBytes: rng.pick([256 * kib, mib, 2 * mib]),
      };
      const alone = everythingIn(inspectImage({ limits }, new MemWorld(files)));
      const helped = everythingIn(inspectImage({ limits, help }, world));
      // Not toBe: a difference is one line in a hundred thousand.
      expect(helped === alone, `seed ${seed}`).toBe(true);
      expect([workers.living, workers.disturbed], `seed ${seed}`).toEqual([0, 0]);
      checked += workers.checked;
      died += workers.died;
    }
    expect(checked).toBeGreaterThan(150);
    expect(died).toBeGreaterThan(3);
  });

  it('are threads of the operating system in the real world: they check most of it, and are gone with the answer', async () => {
    const { world, help, threads, info } = watched();
    const alone = await inspectOn(world, directory);
    let checked = 0;
    let batches = 0;
    const onBatch = (_segment: unknown, batch: { readonly isChecked: boolean }): void => {
      batches++;
      if (batch.isChecked) checked++;
      // Until the first thread is up the walk checks alone, which must not be all of this log on a busy machine.
      if (batches === 1) waitUntilUp();
    };
    let up: Int32Array | null = null;
    const waitUntilUp = (): void => {
      // Word 2 of the shared memory counts the threads that came up; they need nothing of this thread for that.
      for (let tries = 0; up !== null && Atomics.load(up, 2) === 0; tries++) {
        if (tries === 3000) throw new Error('no thread came up within 30 s');
        Atomics.wait(up, 2, 0, 10);
      }
    };
    const workers: Workers = {
      cores: 4,
      start: (entry, shared, handlers) => {
        up = new Int32Array(shared[0] as SharedArrayBuffer);
        return help.workers.start(entry, shared, handlers);
      },
    };
    const found = await inspectOn(world, directory, {
      onBatch,
      help: { ...help, workers, threads: 2, windowBytes: mib },
    });
    expect(info).toEqual([]);
    expect(everythingIn(found) === everythingIn(alone)).toBe(true);
    expect(threads).toEqual({ started: 2, living: 0 });
    expect(checked).toBeGreaterThan(batches / 2);
  });

  it('find the same in damaged images on a real disk, verdict, refusal and index', async () => {
    const damaged: Image[] = [];
    for (let number = 1; damaged.length < 12; number++) {
      const { files } = damageImage(makeBase(1 + (number % 4)), new SimRng(number, 'damage'));
      // Links and folders in place of files are judged before anything is walked.
      if ([...files.values()].every((node) => node instanceof Uint8Array)) damaged.push(files);
    }
    const { world, help, threads, info } = watched();
    for (const [i, files] of damaged.entries()) {
      const where = tempDir();
      fs.mkdirSync(where);
      for (const [name, bytes] of files)
        fs.writeFileSync(path.join(where, name), bytes as Uint8Array);
      const alone = everythingIn(await inspectOn(world, where));
      const small = { ...help, threads: 1 + (i % 2), windowBytes: 16 * kib };
      const helped = everythingIn(await inspectOn(world, where, { help: small }));
      expect(helped, `image ${i}`).toBe(alone);
    }
    expect(threads.started).toBeGreaterThan(6);
    expect([threads.living, info]).toEqual([0, []]);
  });

  it('may die in the middle: the walk checks the rest alone, finds the same, and says so', async () => {
    const { world, help, threads, info } = watched((start) => (entry, shared, handlers) => {
      const thread = start(entry, shared, {
        onTold: () => {
          handlers.onTold();
          thread.end();
        },
        onEnd: (error) => handlers.onEnd(error),
      });
      return thread;
    });
    const alone = await inspectOn(world, directory);
    const found = await inspectOn(world, directory, { help: { ...help, threads: 1 } });
    expect(everythingIn(found) === everythingIn(alone)).toBe(true);
    expect(threads).toEqual({ started: 1, living: 0 });
    // A thread that came up only after the walk was done never died.
    for (const line of info) {
      expect(line).toBe(
        'a checking thread ended (it was ended): the log is checked in the main thread',
      );
    }
  });

  it('may be impossible to start: the walk goes on alone, and says so once', async () => {
    const { world, help, threads, info } = watched(() => (_entry, _shared, handlers) => {
      setImmediate(() => handlers.onEnd(new Error('no room for a thread')));
      return { end() {} };
    });
    const alone = await inspectOn(world, directory);
    const found = await inspectOn(world, directory, { help: { ...help, threads: 2 } });
    expect(everythingIn(found) === everythingIn(alone)).toBe(true);
    expect(threads).toEqual({ started: 2, living: 0 });
    expect(info).toEqual([
      'a checking thread ended (no room for a thread): the log is checked in the main thread',
    ]);
  });

  it('do not hide that a file became shorter while it was read', () => {
    for (const threads of [0, 2]) {
      const world = new MemWorld(image);
      const workers = steppedWorkers(world.clock, new SimRng(3, 'threads'));
      const name = '0000000000000001.seg';
      const onBatch = (): void => {
        const bytes = world.files.get(name) as Uint8Array;
        world.files.set(name, bytes.subarray(0, 4 * mib));
      };
      const help = { ...eager, workers, clock: world.clock, threads };
      const { refusal } = inspectImage({ help, onBatch }, world);
      expect(refusal).toMatchObject({ reason: 'E_CORRUPT', file: name });
      expect(refusal?.summary).toBe(
        refusal?.summary.startsWith('a header')
          ? 'a header whose body the file ends in'
          : `the end of the file, after ${4 * mib} bytes`,
      );
    }
  });

  it('do not hide a read that fails, wherever they are', () => {
    for (const threads of [0, 2]) {
      const world = new MemWorld(image);
      const workers = steppedWorkers(world.clock, new SimRng(4, 'threads'));
      const read = world.disk.read.bind(world.disk);
      world.disk.read = (file, target, offset, callback) => {
        const isBad = file.path.endsWith('2.seg') && offset + target.length > 5 * mib;
        if (!isBad) return read(file, target, offset, callback);
        const error = Object.assign(new Error('EIO: no sense'), { code: 'EIO' });
        world.clock.nextTurn(() => callback(error, 0));
      };
      const help = { ...eager, workers, clock: world.clock, threads };
      const { refusal, cause } = inspectImage({ help }, world);
      expect(refusal).toMatchObject({ reason: 'E_IO', file: '0000000000000002.seg' });
      expect(cause?.code).toBe('EIO');
      expect(workers.living).toBe(0);
    }
  });

  it('serve an opening too: as many as were asked for, and none of a log that is open before they are', async () => {
    const copy = tempDir();
    fs.cpSync(directory, copy, { recursive: true });
    // Nothing is read behind the capacity that a segment's header names: the file is only longer, so that the log is.
    fs.truncateSync(path.join(copy, '0000000000000001.seg'), 300 * mib);
    const long = watched();
    const log = await openLog({ directory: copy, ...roomy, scanWorkers: 3 }, long.world);
    expect(long.threads).toEqual({ started: 3, living: 0 });
    const ends = log.wal.recoveredGroups().map((group) => group.lastIndex);
    await log.close();
    fs.truncateSync(path.join(copy, '0000000000000001.seg'), 300 * mib);
    const none = watched();
    const again = await openLog({ directory: copy, ...roomy, scanWorkers: 0 }, none.world);
    expect(again.wal.recoveredGroups().map((group) => group.lastIndex)).toEqual(ends);
    await again.close();
    const unsaid = watched();
    await (await openLog({ directory: copy, ...roomy }, unsaid.world)).close();
    expect(unsaid.threads).toEqual({ started: 2, living: 0 });
    const small = watched();
    const created = await createLog(tempDir(), {}, small.world);
    created.group(1);
    await created.sync();
    await created.close();
    expect([none.threads.started, small.threads.started]).toEqual([0, 0]);
  });

  it('are refused in a number that makes no sense', async () => {
    for (const scanWorkers of [-1, 5, 1.5, Number.NaN]) {
      await expect(openLog({ directory, scanWorkers })).rejects.toMatchObject({
        code: 'CONFIG_INVALID',
        message: expect.stringContaining('scanWorkers must be a whole number from 0 to 4'),
      });
    }
  });
});

describe('a walk along a log', () => {
  it('reads each byte once', async () => {
    const world = createNodeWorld();
    const read = world.disk.read.bind(world.disk);
    let bytes = 0;
    world.disk.read = (file, target, offset, callback) =>
      read(file, target, offset, (error, count) => {
        bytes += count;
        callback(error, count);
      });
    const { segments, bytesScanned } = await inspectOn(world, directory);
    const files = segments.reduce((sum, segment) => sum + segment.bytes, 0);
    // Headers and slots of STORE are read apart; of the newest the rest is looked over page by page.
    expect(bytes).toBeLessThan(files + 64 * kib + 2 * mib);
    expect(bytesScanned).toBeLessThan(files + 2 * mib);
  });
});
