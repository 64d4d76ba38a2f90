import * as fs from 'node:fs';
import * as path from 'node:path';
import { createNodeWorld, type Disk, type World } from '@flotilla/io';
import { describe, expect, it } from 'vitest';
import { createLog, type LogUnderTest, tempDir } from '../../../packages/wal/test/harness.ts';
import { inspect, inspectIn } from './inspect.ts';

/** Segments that a load makes of which none is given up: a fast disk would make thousands of them, each an open file. */
const keptSegmentsMax = 100;

/**
 * A log that is written as fast as it goes, in small segments, its oldest given up all the time where `compacts`; where
 * not, it comes to rest at `keptSegmentsMax` of them.
 */
class Load {
  readonly log: LogUnderTest;
  readonly #compacts: boolean;
  readonly #slot: number;
  #index = 1;
  #isDone = false;
  #writing: Promise<void> = Promise.resolve();

  private constructor(log: LogUnderTest, compacts: boolean) {
    this.log = log;
    this.#compacts = compacts;
    this.#slot = log.group(12);
  }

  static async on(directory: string, compacts = true): Promise<Load> {
    return new Load(await createLog(directory), compacts);
  }

  /** Ten batches of 18 KiB. */
  async write(): Promise<void> {
    const { log } = this;
    for (let i = 0; i < 20; i++) log.append(this.#slot, this.#index++, ['x'.repeat(900)]);
    await log.sync();
    const noVote = { nodeId: 0, generation: 0, instance: 0 };
    log.wal.layHardState(this.#slot, 1, noVote, this.#index - 1);
    if (this.#compacts && this.#index % 100 === 1) log.wal.layCompact(this.#slot, this.#index - 60);
  }

  start(): void {
    const loop = async (): Promise<void> => {
      while (!this.#isDone && !this.#isFull) await this.write();
    };
    this.#writing = loop();
    // Told by stop().
    this.#writing.catch(() => {});
  }

  get #isFull(): boolean {
    return !this.#compacts && this.log.wal.counters.rotations >= keptSegmentsMax;
  }

  /** Writes until the log has rotated once more; not while it is started. */
  async rotate(): Promise<void> {
    const { rotations } = this.log.wal.counters;
    while (this.log.wal.counters.rotations === rotations) await this.write();
  }

  async stop(): Promise<void> {
    this.#isDone = true;
    await this.#writing;
    await this.log.close();
  }
}

/** Runs `use` beside the load, which has ended when this returns or throws. */
async function under(load: Load, use: () => Promise<void>): Promise<void> {
  try {
    await use();
  } finally {
    await load.stop();
  }
}

/** The system's disk, where something else happens before each listing of the directory, or each opening of a file. */
function disturbed(before: () => Promise<void>, which: 'list' | 'open' = 'list'): World {
  const world = createNodeWorld();
  const disk = new Proxy(world.disk, {
    get(target, key) {
      const value: unknown = Reflect.get(target, key);
      if (key !== which) return typeof value === 'function' ? value.bind(target) : value;
      const list: Disk['list'] = (directory, callback) =>
        void before().then(() => target.list(directory, callback));
      const open: Disk['open'] = (file, mode, callback) =>
        void before().then(() => target.open(file, mode, callback));
      return which === 'list' ? list : open;
    },
  });
  return { ...world, disk };
}

const readers = [
  ['verify'],
  ['verify', '--index'],
  ['explain'],
  ['groups'],
  ['group', '12'],
  ['dump'],
  ['ls'],
  ['store'],
  ['stats'],
  ['tail'],
  ['export'],
  ['diff'],
];
const damaged = /E_|CORRUPT|CONFLICT|BAD|lost|not hold|not opened|only up to/;

describe('a directory that a host writes', () => {
  it('changes while it is read: a log under load is never called damaged', {
    timeout: 120_000,
  }, async () => {
    const directory = tempDir();
    const load = await Load.on(directory);
    load.start();
    await under(load, async () => {
      for (let round = 0; round < 10; round++) {
        for (const [command = '', ...rest] of readers) {
          const more = command === 'diff' ? [directory, '--deep'] : rest;
          const { code, text, errors } = await inspect(command, directory, ...more);
          const said = [command, code, damaged.exec(text)?.[0] ?? '', errors];
          expect(said).toEqual([command, 0, '', '']);
        }
        const newest = fs.readdirSync(directory).filter((name) => /^0.*\.seg$/.test(name));
        for (const name of newest.slice(-2)) {
          const { code, errors } = await inspect('carve', path.join(directory, name));
          // Its name may have gone.
          const isGone = !fs.existsSync(path.join(directory, name));
          expect([code, isGone || errors === '']).toEqual([isGone ? code : 0, true]);
        }
      }
      expect(load.log.wal.counters.rotations).toBeGreaterThan(3);
    });
  });

  it('rotates under each of thirty tries: they are made, and the next one is believed', async () => {
    const directory = tempDir();
    const load = await Load.on(directory);
    await under(load, async () => {
      await load.rotate();
      let tries = 0;
      const world = disturbed(async () => {
        if (tries++ < 30) await load.rotate();
      });
      const { code, text } = await inspectIn(world, 'verify', directory);
      expect([code, damaged.exec(text)]).toEqual([0, null]);
      expect(tries).toBe(31);
    });
  });

  it('gives segments up between the look at the log and the reading of its entries: none is called lost', async () => {
    const directory = tempDir();
    const load = await Load.on(directory);
    await under(load, async () => {
      for (let i = 0; i < 3; i++) await load.rotate();
      let opened = 0;
      let quiet = 0;
      const world = disturbed(async () => {
        if (++opened > quiet && opened < quiet + 20 && opened % 4 === 0) await load.rotate();
      }, 'open');
      for (const argv of [
        ['export', directory],
        ['diff', directory, directory, '--deep'],
        ['verify', directory, '--index'],
      ]) {
        // A look opens STORE twice, and each segment for its header and for its batches.
        const segments = fs.readdirSync(directory).filter((name) => /^0.*\.seg$/.test(name));
        quiet = (2 + 2 * segments.length) * (argv[0] === 'diff' ? 2 : 1);
        opened = 0;
        const { code, text, errors } = await inspectIn(world, ...argv);
        const said = [argv[0], code, damaged.exec(text)?.[0] ?? '', errors];
        expect(said).toEqual([argv[0], 0, '', '']);
        expect(opened).toBeGreaterThan(quiet);
      }
    });
  });

  it('never stands still for long enough: nothing is known, and damage is not spoken of', async () => {
    const directory = tempDir();
    const load = await Load.on(directory);
    await under(load, async () => {
      await load.rotate();
      let nowMs = 0;
      const world = disturbed(async () => {
        nowMs += 10_000;
        await load.rotate();
      });
      const clock = { ...world.clock, monotonicMs: () => nowMs };
      const { code, text } = await inspectIn({ ...world, clock }, 'explain', directory);
      expect(code).toBe(4);
      expect(text).toContain('a running host changes it faster than it can be read');
      expect(text).toContain('verdict  UNREADABLE (exit 4)');
      expect(text).toContain('nothing is known to be wrong');
    });
  });

  it('is damaged in an old segment while it is written: that is reported', {
    timeout: 60_000,
  }, async () => {
    const directory = tempDir();
    const load = await Load.on(directory, false);
    await under(load, async () => {
      while (load.log.wal.counters.rotations < 4) await load.rotate();
      const name = '0000000000000002.seg';
      const fd = fs.openSync(path.join(directory, name), 'r+');
      const page = new Uint8Array(4096);
      fs.readSync(fd, page, 0, 4096, 3 * 4096);
      page[2000] = (page[2000] as number) ^ 1;
      fs.writeSync(fd, page, 0, 4096, 3 * 4096);
      fs.closeSync(fd);
      // Also where the log rotates under every other look.
      let tries = 0;
      const world = disturbed(async () => {
        if (tries++ % 2 === 0) await load.rotate();
      });
      const { code, text } = await inspectIn(world, 'verify', directory);
      expect([code, text.slice(text.indexOf('verdict'))]).toEqual([
        3,
        expect.stringMatching(/^verdict CORRUPT \(exit 3\): E_CORRUPT in 0000000000000002\.seg/),
      ]);
      load.start();
      for (const command of ['verify', 'explain', 'ls', 'groups', 'stats', 'dump'])
        expect([command, (await inspect(command, directory)).code]).toEqual([command, 3]);
    });
  });

  it('misses a segment that STORE counts while it is written: that is reported', async () => {
    const directory = tempDir();
    const load = await Load.on(directory, false);
    await under(load, async () => {
      while (load.log.wal.counters.rotations < 3) await load.rotate();
      fs.renameSync(path.join(directory, '0000000000000002.seg'), path.join(directory, 'taken'));
      load.start();
      const { code, text } = await inspect('verify', directory);
      expect([code, /E_SEG_MISSING in \S+/.exec(text)?.[0]]).toEqual([
        3,
        'E_SEG_MISSING in 0000000000000002.seg:',
      ]);
      fs.renameSync(path.join(directory, 'taken'), path.join(directory, '0000000000000002.seg'));
    });
  });
});
