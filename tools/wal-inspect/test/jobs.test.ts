// `verify --jobs N`: threads beside the one that judges. What is said does not depend on them.

import * as fs from 'node:fs';
import * as path from 'node:path';
import { fileURLToPath } from 'node:url';
import { createNodeWorld, type Workers, type World } from '@flotilla/io';
import { beforeAll, describe, expect, it } from 'vitest';
import { createLog, layEntries, tempDir } from '../../../packages/wal/test/harness.ts';
import { inspect, inspectIn } from './inspect.ts';
import { peakMiB } from './peak.ts';

const mib = 1024 * 1024;
const program = fileURLToPath(new URL('../dist/main.js', import.meta.url));
let directory = '';

/**
 * 60 MiB: batches of 1 MiB, and in the middle one that is held whole and fits no window. The first file is longer than the
 * capacity its header names, so that the log counts as one that is worth threads; nothing is read there.
 */
beforeAll(async () => {
  directory = tempDir();
  const log = await createLog(directory, {
    segmentBytes: 32 * mib,
    slabBytes: mib,
    batchBytesSoft: 16 * mib,
    entryBytesMax: 8 * mib,
    cacheBytes: 4 * mib,
    syncMethod: 'none',
    reserve: false,
  });
  const slot = log.group(7);
  await log.sync();
  const payload = 'p'.repeat(32_000);
  let index = 1;
  for (let batch = 0; batch < 46; batch++) {
    const count = batch === 30 ? 14 * 32 : 32;
    for (let i = 0; i < count; i++) layEntries(log.wal, slot, index++, [payload], 1);
    await log.sync();
  }
  await log.close();
  fs.truncateSync(path.join(directory, '0000000000000001.seg'), 300 * mib);
});

/** A world with processors to spare that counts the threads it starts. */
function counted(): { readonly world: World; readonly started: { threads: number } } {
  const world = createNodeWorld();
  const started = { threads: 0 };
  const start: Workers['start'] = (entry, shared, handlers) => {
    started.threads++;
    return (world.workers as Workers).start(entry, shared, handlers);
  };
  return { world: { ...world, workers: { cores: 4, start } }, started };
}

describe('verify --jobs', () => {
  it('says the same with any number of threads, of a log that is whole and of one that is damaged', async () => {
    const say = async (jobs: string): Promise<unknown> => {
      const { world, started } = counted();
      const argv = ['verify', directory, '--json', '--jobs', jobs];
      const { code, text, errors } = await inspectIn(world, ...argv);
      expect(started.threads).toBe(Math.min(2, Number(jobs)));
      const isTooMany = Number(jobs) > 2;
      const said = `wal-inspect: --jobs ${jobs}: 2 threads at most, for the memory`;
      expect(errors).toBe(isTooMany ? said : '');
      // What was read ahead and not needed, or read again behind a batch that fits no window, counts too.
      return { code, ...JSON.parse(text), bytesScanned: 0 };
    };
    const whole = await say('0');
    expect(whole).toMatchObject({ code: 0, verdict: 'clean' });
    for (const jobs of ['1', '2', '3', '4']) expect(await say(jobs), jobs).toEqual(whole);
    expect((await inspect('verify', directory)).text).toBe(
      (await inspect('verify', directory, '--jobs', '0')).text,
    );
    const file = path.join(directory, '0000000000000001.seg');
    const fd = fs.openSync(file, 'r+');
    try {
      const flip = (): void => {
        const byte = new Uint8Array(1);
        fs.readSync(fd, byte, 0, 1, 25 * mib);
        byte[0] = (byte[0] as number) ^ 1;
        fs.writeSync(fd, byte, 0, 1, 25 * mib);
      };
      flip();
      const damaged = await say('0');
      expect(damaged).toMatchObject({ code: 3, refusal: { reason: 'E_CORRUPT' } });
      for (const jobs of ['1', '2', '3', '4']) expect(await say(jobs), jobs).toEqual(damaged);
      flip();
    } finally {
      fs.closeSync(fd);
    }
  });

  it('takes 0 to 4, and no other command takes it', async () => {
    for (const jobs of ['5', '-1', '1.5', 'two', '']) {
      const { code, errors } = await inspect('verify', directory, `--jobs=${jobs}`);
      expect([jobs, code]).toEqual([jobs, 1]);
      expect(errors).toContain('--jobs must be');
    }
    const { code, errors } = await inspect('explain', directory, '--jobs', '1');
    expect([code, errors]).toEqual([1, expect.stringContaining('explain has no option --jobs')]);
  });

  it.runIf(process.platform === 'linux')(
    'takes at most 64 MiB above an empty process with as many as it starts by itself, and with as many as may be asked for',
    { timeout: 120_000 },
    () => {
      const empty = peakMiB(['-e', '0']);
      for (const jobs of [[], ['--jobs', '2'], ['--jobs', '3'], ['--jobs', '4']]) {
        const above = peakMiB([program, 'verify', directory, ...jobs]) - empty;
        expect([jobs, above < 64 || above]).toEqual([jobs, true]);
      }
    },
  );
});
