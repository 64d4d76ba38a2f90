// The log under SIGKILL: a writer that prints what was acknowledged is killed, again and again on the same directory, at
// moments from the first step of an opening to deep inside a burst. Each next life must find exactly a prefix of what
// was laid, all acknowledged turns in it. The page cache survives a killed process, so this shows that nothing is said
// too early and that recovery copes with every half-done step; that what was said is on the disk is for the power cut.
// Every third life writes its batches past the page cache (syncMethod 'direct'), where the file system does that; half
// of these in the I/O thread.
//
// FLOTILLA_KILLS sets the number of kills (1,000 in the long form), FLOTILLA_SEED repeats what was laid and when it was to
// be killed; what the operating system makes of it is not repeatable.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Dice } from './support/load.ts';
import { type Life, LogRig, momentOf } from './support/log-rig.ts';
import { killAll } from './support/processes.ts';

const kills = Number(process.env['FLOTILLA_KILLS'] ?? 20);
const seed = Number(process.env['FLOTILLA_SEED'] ?? Date.now() % 2 ** 32);
/** Lives of one directory: its log only grows, and every life reads all of it. */
const livesPerDirectory = 25;

let folder = '';
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'flotilla-test-'));
});
afterAll(async () => {
  await killAll();
  rmSync(folder, { recursive: true, force: true });
});

describe(`the log under SIGKILL (FLOTILLA_SEED=${seed}, ${kills} kills)`, () => {
  it(
    'WF53: after every kill the log holds a prefix of what was laid, and every turn that was acknowledged',
    async () => {
      const dice = new Dice(seed);
      let acked = 0;
      let early = 0;
      let carried = 0;
      for (let n = 0; n < kills; ) {
        const rig = new LogRig(join(folder, `wal-${n}`), dice.below(2 ** 31));
        for (let i = 0; i < livesPerDirectory && n < kills; i++, n++) {
          const log = { syncMethod: n % 3 === 2 ? 'direct' : 'fdatasync' };
          const life = rig.start({ window: 1 + dice.below(12), log, ioThread: n % 6 === 5 });
          const moment = momentOf(dice);
          await life.until(moment.name, moment.when);
          const end = await life.kill();
          expect(end, `${moment.name}: ${life.process.stderr}`).toEqual({
            code: null,
            signal: 'SIGKILL',
          });
          if (life.opened === null) early++;
          carried += life.opened?.report.carriedBatches ?? 0;
          rig.judge(life);
        }
        const last = rig.start({ turnsMax: 1 });
        expect(await last.ended(), last.process.stderr).toEqual({ code: 0, signal: null });
        rig.judge(last);
        acked += rig.acked;
        rmSync(rig.directory, { recursive: true });
      }
      expect(acked).toBeGreaterThanOrEqual(kills * 10);
      console.log(
        `log under SIGKILL: ${kills} kills (${early} before the log was open), ${acked} acknowledged turns all there, ` +
          `${carried} batches carried over`,
      );
    },
    60_000 + kills * 3_000,
  );

  it('would have noticed: a writer that acknowledges before the log says so is found out', async () => {
    const dice = new Dice(seed);
    const rig = new LogRig(join(folder, 'early'), seed);
    const livesMax = 20;
    let found = '';
    for (let n = 0; n < livesMax && found === ''; n++) {
      const life = rig.start({ plant: 'ackEarly', window: 64 });
      const turns = 1 + dice.below(60);
      const when = (each: Life): boolean =>
        each.opened !== null && each.acked >= each.opened.turn + turns;
      await life.until(`${turns} turns`, when);
      await life.kill();
      try {
        rig.judge(life);
      } catch (error) {
        found = (error as Error).message;
      }
    }
    expect(found).toMatch(/^LOST: turns \d+\.\.\d+ were acknowledged and are gone/);
  });
});
