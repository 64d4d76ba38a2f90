// The log and the power cut: a writer that prints what was acknowledged runs on an ext4 file system in an image, whose
// power is cut (EXT4_IOC_SHUTDOWN) at moments from the first step of an opening to deep inside a burst. What was not synced
// is gone. The image is mounted again, and each next life must find exactly a prefix of what was laid, with every turn
// in it that was ever acknowledged. Every other life writes its batches past the page cache (syncMethod 'direct').
//
// FLOTILLA_POWER_CUTS sets the number of cuts (200 in the long form), FLOTILLA_SEED repeats what was laid and when the cut was
// to come; what the operating system makes of it is not repeatable.

import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Image, Images, imagesMissing, type Loss } from './support/images.ts';
import { Dice } from './support/load.ts';
import { type Life, LogRig, momentOf } from './support/log-rig.ts';
import { killAll } from './support/processes.ts';

const cuts = Number(process.env['FLOTILLA_POWER_CUTS'] ?? 6);
const seed = Number(process.env['FLOTILLA_SEED'] ?? Date.now() % 2 ** 32);
const missing = await imagesMissing();
if (missing !== null) console.warn(`log-power.crash.ts: NOT RUN, ${missing}`);

const imageBytes = 96 << 20;
/** Lives of one directory: its log only grows, and every life reads all of it. */
const livesPerDirectory = 20;

let images: Images;
let image: Image;

const cached = { syncMethod: 'fdatasync' };
const direct = { syncMethod: 'direct' };

/** Presses the button at that moment, and mounts the image again once the writer has ended. */
async function cutAt(
  life: Life,
  when: (life: Life) => boolean,
  what: string,
  loss: Loss,
): Promise<void> {
  const cut = await image.arm(loss);
  await life.until(what, when);
  await cut();
  // The writer learns of it from its next sync. One that is idle is ended.
  const end = life.process.end ?? (await life.ended(10_000));
  expect([75, 78], life.process.stderr).toContain(end.code);
  expect(life.lastWord?.event).toBe(end.code === 75 ? 'poisoned' : 'refused');
  await image.unmount();
  image.mount();
}

describe.skipIf(missing !== null)(
  `the log and the power cut (FLOTILLA_SEED=${seed}, ${cuts} cuts)`,
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
      'WF65: after every power cut the log holds a prefix of what was laid, and every turn that was acknowledged',
      async () => {
        const dice = new Dice(seed);
        const verdicts = new Map<string, number>();
        let acked = 0;
        let early = 0;
        let killedFirst = 0;
        for (let n = 0; n < cuts; ) {
          const rig = new LogRig(join(image.mountPoint, `wal-${n}`), dice.below(2 ** 31));
          for (let i = 0; i < livesPerDirectory && n < cuts; i++, n++) {
            // A process that died before the power did: what the page cache then shows may not be on the disk.
            if (dice.below(4) === 0) {
              const killed = rig.start({
                window: 1 + dice.below(12),
                log: n % 4 < 2 ? direct : cached,
              });
              const { name, when } = momentOf(dice);
              await killed.until(name, when);
              await killed.kill();
              rig.judge(killed);
              killedFirst++;
            }
            const life = rig.start({
              window: 1 + dice.below(12),
              log: n % 2 === 0 ? direct : cached,
            });
            const { name, when } = momentOf(dice);
            await cutAt(life, when, name, dice.below(4) === 0 ? 'data' : 'everything');
            const verdict = life.opened?.report.verdict;
            if (verdict === undefined) early++;
            else verdicts.set(verdict, (verdicts.get(verdict) ?? 0) + 1);
            rig.judge(life);
          }
          const last = rig.start({ turnsMax: 1 });
          expect(await last.ended(), last.process.stderr).toEqual({ code: 0, signal: null });
          rig.judge(last);
          acked += rig.acked;
          rmSync(rig.directory, { recursive: true });
        }
        expect(acked).toBeGreaterThanOrEqual(cuts * 10);
        console.log(
          `log and power cut: ${cuts} cuts (${early} before the log was open, ${killedFirst} after a kill -9), ${acked} acknowledged ` +
            `turns all there; openings: ${[...verdicts].map(([name, count]) => `${count} ${name}`).join(', ')}`,
        );
      },
      60_000 + cuts * 5_000,
    );

    it('WF65: a batch that went past the page cache is there after a power cut, without a sync', async () => {
      const rig = new LogRig(join(image.mountPoint, 'direct'), seed);
      const life = rig.start({ log: direct });
      const when = (each: Life): boolean => each.opened !== null && each.acked >= 50;
      await cutAt(life, when, '50 turns', 'everything');
      // ext4 does it: nothing went another way.
      expect(life.process.stderr).not.toContain("as with syncMethod 'fdatasync'");
      rig.judge(life);
      const next = rig.start({ turnsMax: 0, log: direct });
      expect(await next.ended(), next.process.stderr).toEqual({ code: 0, signal: null });
      rig.judge(next);
      expect(rig.acked).toBeGreaterThanOrEqual(50);
      rmSync(rig.directory, { recursive: true });
    });

    it('would have noticed: a log without syncs loses what it acknowledged', async () => {
      const rig = new LogRig(join(image.mountPoint, 'unsynced'), seed);
      const when = (life: Life): boolean => life.opened !== null && life.acked >= 50;
      const unsynced = rig.start({ log: { syncMethod: 'none' } });
      await cutAt(unsynced, when, '50 turns', 'everything');
      rig.judge(unsynced);
      const next = rig.start({ turnsMax: 0 });
      const { code } = await next.ended();
      // A rotation may have vouched for what is gone: then opening refuses, which finds it out as well.
      if (code === 78) expect(next.lastWord?.code).toBe('WAL_CORRUPT');
      else expect(() => rig.judge(next)).toThrow(/^LOST: turns \d+\.\.\d+ were acknowledged/);
    });
  },
);
