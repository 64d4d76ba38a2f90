// The power line: three hosts, each with its data on an ext4 image of its own, under load. The power of one host is cut,
// or that of all three at the same moment, so that what they had not synced is gone; they are started again, and nothing
// that any client was told is lost.
//
// FLOTILLA_POWER_ROUNDS sets how often one host is cut, and how often all are (10 each in the long form), FLOTILLA_SEED
// repeats the choices of a run.

import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { RespClient } from '../tools/flotilla/src/resp-client.ts';
import { TestCluster } from './support/cluster.ts';
import { within } from './support/eventually.ts';
import { type Image, Images, imagesMissing } from './support/images.ts';
import { Dice, WriteOnce } from './support/load.ts';
import { killAll } from './support/processes.ts';

const rounds = Number(process.env['FLOTILLA_POWER_ROUNDS'] ?? 1);
const seed = Number(process.env['FLOTILLA_SEED'] ?? Date.now() % 2 ** 32);
const missing = await imagesMissing();
if (missing !== null) console.warn(`cluster-power.crash.ts: NOT RUN, ${missing}`);

const imageBytes = 1 << 30;
/** Writes that must be acknowledged between one cut and the next, so that none meets an idle cluster. */
const ackedPerRound = 300;

let images: Images;
let cluster: TestCluster;
const imageOf = new Map<number, Image>();
const clients: RespClient[] = [];

function newClient(): RespClient {
  const client = cluster.client({ retryMs: 60_000, callMs: 15_000 });
  clients.push(client);
  return client;
}

/** Cuts the power of these hosts at one moment; each must end by itself, because its disk fails. */
async function cutPower(ids: readonly number[]): Promise<void> {
  const buttons = await Promise.all(ids.map((id) => (imageOf.get(id) as Image).arm()));
  await Promise.all(buttons.map((cut) => cut()));
  for (const id of ids) {
    const host = cluster.process(id);
    const end = await within(host.ended, { what: `host ${id} ends`, deadlineMs: 20_000 });
    expect(end, host.stderr).toEqual({ code: 75, signal: null });
  }
}

async function restore(ids: readonly number[]): Promise<void> {
  for (const id of ids) {
    const image = imageOf.get(id) as Image;
    await image.unmount();
    image.mount();
  }
  await Promise.all(ids.map((id) => cluster.startHost(id)));
  await cluster.whenServed();
}

describe.skipIf(missing !== null)(
  `power cuts of whole hosts under load (FLOTILLA_SEED=${seed}, ${rounds} of one and ${rounds} of all)`,
  () => {
    beforeAll(async () => {
      images = new Images();
      const directory = join(images.folder, 'cluster');
      mkdirSync(directory);
      cluster = await TestCluster.make({ directory });
      for (const id of cluster.ids) {
        const image = images.make(`disk-${id}`, imageBytes);
        await image.replace(join(cluster.data, `host-${id}`));
        imageOf.set(id, image);
      }
      await cluster.startAll();
      await cluster.whenServed();
    });
    afterAll(async () => {
      for (const client of clients) client.close();
      await killAll();
      images?.dispose();
    });

    it(
      'lose nothing that was acknowledged, be it one host or all of them at once',
      async () => {
        const dice = new Dice(seed);
        const once = new WriteOnce(newClient());
        const plan = Array.from({ length: 2 * rounds }, (_, i) => i % 2 === 1);
        for (const isAll of plan) {
          await once.progress(1 + dice.below(ackedPerRound));
          if (isAll) {
            await cutPower(cluster.ids);
            await restore(cluster.ids);
          } else {
            const victim = cluster.ids[dice.below(cluster.ids.length)] as number;
            await cutPower([victim]);
            // The two that are left must go on.
            await once.progress(ackedPerRound);
            await restore([victim]);
          }
        }
        await once.progress(ackedPerRound);
        await once.stop();
        expect(once.lastFailure).toBe('');
        expect(once.acked.size).toBeGreaterThanOrEqual(rounds * ackedPerRound);
        expect(await once.missing(newClient())).toEqual([]);
        // A write that is not there would be seen.
        once.acked.set('once:planted', 'never written');
        expect(await once.missing(newClient())).toEqual(['once:planted: null']);
        console.log(
          `power line: ${rounds} cuts of one host and ${rounds} of all three; ${once.acked.size - 1} acknowledged writes ` +
            `all there (${once.unknown} unknown)`,
        );
      },
      120_000 + rounds * 60_000,
    );
  },
);
