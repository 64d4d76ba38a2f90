// The log on a disk that is full: a 300 MB image with a writer under load, whose last free block is taken again and again.
// The log says that it is full (a host then refuses proposals with a typed error) and still takes hard states, into its
// reserve where the segment ends; it reads; once there is space it goes on by itself; and nothing it acknowledged is lost. A process that is killed on the full disk
// finds everything again.
//
// FLOTILLA_FULL_ROUNDS sets how often the disk is filled (5 in the long form).

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { eventually } from './support/eventually.ts';
import { type Image, Images, imagesMissing } from './support/images.ts';
import { type Life, LogRig } from './support/log-rig.ts';
import { killAll } from './support/processes.ts';

const rounds = Number(process.env['FLOTILLA_FULL_ROUNDS'] ?? 2);
const seed = Number(process.env['FLOTILLA_SEED'] ?? Date.now() % 2 ** 32);
const missing = await imagesMissing();
if (missing !== null) console.warn(`log-full.crash.ts: NOT RUN, ${missing}`);

const imageBytes = 300_000_000;
/** A hard state at a time is a page at a time: about 128 fill a segment. */
const log = { segmentBytes: 512 << 10 };
const turnsBetween = 200;
const ballotsInReserve = 20;
const readsWhileFull = 100;

let images: Images;
let image: Image;

/** How often the log told that its reserve is in use. */
function reserveUses(life: Life): number {
  return life.process.stderr.split('the reserve is in use').length - 1;
}

/** Fills the disk and sees the log through it. */
async function fillAndHold(life: Life, directory: string): Promise<void> {
  const times = life.fullTimes;
  const uses = reserveUses(life);
  // It is made in the background after the first opening; a log that is full before that can only wait.
  const reserve = join(directory, 'reserve.seg');
  await eventually(() => existsSync(reserve), { what: 'the log has a reserve' });
  image.fill();
  await life.until('the log says that it is full', (each) => each.fullTimes > times);
  await life.until('the segment ends and the reserve is in use', (each) => {
    return reserveUses(each) > uses;
  });
  const { balloted, reads } = life;
  await life.until(`${ballotsInReserve} hard states in the reserve`, (each) => {
    return each.balloted >= balloted + ballotsInReserve;
  });
  await life.until(`${readsWhileFull} reads while the disk is full`, (each) => {
    return each.reads >= reads + readsWhileFull;
  });
  expect(life.process.end, life.process.stderr).toBeNull();
}

async function progress(life: Life): Promise<void> {
  await life.until('the log is open', (each) => each.opened !== null);
  const goal = Math.max(life.acked, life.opened?.turn ?? 0) + turnsBetween;
  await life.until(`${turnsBetween} more acknowledged turns`, (each) => each.acked >= goal);
  expect(life.process.end, life.process.stderr).toBeNull();
}

describe.skipIf(missing !== null)(
  `the log on a full disk (FLOTILLA_SEED=${seed}, ${rounds} times)`,
  () => {
    beforeAll(() => {
      images = new Images();
      image = images.make('log', imageBytes);
    });
    afterAll(async () => {
      await killAll();
      images?.dispose();
    });

    it(
      'WF36 WF37: it refuses entries, takes hard states, reads, and goes on by itself once there is space',
      async () => {
        const rig = new LogRig(join(image.mountPoint, 'wal'), seed);
        const life = rig.start({ log, window: 16 });
        for (let round = 0; round < rounds; round++) {
          await progress(life);
          await fillAndHold(life, rig.directory);
          const resumed = life.resumedTimes;
          image.free();
          await life.until('the log goes on', (each) => each.resumedTimes > resumed);
        }
        await progress(life);
        life.tell('stop');
        expect(await life.ended(), life.process.stderr).toEqual({ code: 0, signal: null });
        rig.judge(life);
        const next = rig.start({ log, turnsMax: 1 });
        expect(await next.ended(), next.process.stderr).toEqual({ code: 0, signal: null });
        rig.judge(next);
        console.log(
          `log on a full disk: ${rounds} times; ${rig.acked} acknowledged turns and ${rig.balloted} hard states all ` +
            `there, ${life.reads} records read while it was full`,
        );
      },
      120_000 + rounds * 60_000,
    );

    it('WF38: killed on a full disk it either opens there or says why not, and has everything once there is space', async () => {
      const rig = new LogRig(join(image.mountPoint, 'killed'), seed);
      image.free();
      const life = rig.start({ log, window: 16 });
      await progress(life);
      await fillAndHold(life, rig.directory);
      await life.kill();
      rig.judge(life);
      image.fill();

      const onFull = rig.start({ log, turnsMax: 0 });
      const { code } = await onFull.ended();
      if (code === 78) expect(onFull.lastWord?.code).toMatch(/^(WAL_FULL|IO_REFUSED)$/);
      else expect(code, onFull.process.stderr).toBe(0);
      rig.judge(onFull);

      image.free();
      const next = rig.start({ log, turnsMax: 50 });
      expect(await next.ended(), next.process.stderr).toEqual({ code: 0, signal: null });
      rig.judge(next);
      expect(next.acked).toBe((next.opened?.turn ?? 0) + 50);
    });
  },
);
