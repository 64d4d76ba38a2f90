// The disk-full line: three hosts, each with its data on a 300 MB image of its own, under load; the last free block of one
// host's disk is taken, or that of all three. Writes that need it are refused with a typed error and did not happen,
// reads go on, and once there is space writes go on by themselves, in the same processes; nothing acknowledged is lost.
//
// FLOTILLA_FULL_ROUNDS sets how often disks are filled (5 in the long form), FLOTILLA_SEED repeats the choices of a run.

import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { RespClient } from '../tools/flotilla/src/resp-client.ts';
import { TestCluster } from './support/cluster.ts';
import { eventually } from './support/eventually.ts';
import { type Image, Images, imagesMissing } from './support/images.ts';
import { Dice, WriteOnce } from './support/load.ts';
import { killAll } from './support/processes.ts';

const rounds = Number(process.env['FLOTILLA_FULL_ROUNDS'] ?? 1);
const seed = Number(process.env['FLOTILLA_SEED'] ?? Date.now() % 2 ** 32);
const missing = await imagesMissing();
if (missing !== null) console.warn(`cluster-full.crash.ts: NOT RUN, ${missing}`);

const imageBytes = 300_000_000;
const small = { segmentBytes: 1 << 20, entryBytesMax: 64 << 10 };
const ackedPerRound = 300;
const loadCount = 24;
/** Values of a few kilobytes use up a segment in a moment. */
const valueBytesMax = 8_000;
const refusedPerRound = loadCount;
const readsPerLoad = 5;

let images: Images;
let cluster: TestCluster;
const imageOf = new Map<number, Image>();
const clients: RespClient[] = [];

function newClient(retryMs: number): RespClient {
  const client = cluster.client({ retryMs, callMs: 15_000 });
  clients.push(client);
  return client;
}

describe.skipIf(missing !== null)(
  `full disks under load (FLOTILLA_SEED=${seed}, ${rounds} times)`,
  () => {
    beforeAll(async () => {
      images = new Images();
      const directory = join(images.folder, 'cluster');
      mkdirSync(directory);
      cluster = await TestCluster.make({ directory });
      cluster.edit((file) => Object.assign(file['options'] as object, small));
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
      'refuse writes with a typed error, serve reads, and lose nothing; writes go on once there is space',
      async () => {
        const dice = new Dice(seed);
        // They try nothing again: what a host answers is what is counted. A connection each, because replies come in the
        // order of the commands, and a command that waits for its host makes those behind it wait.
        const loads = Array.from({ length: loadCount }, (_, i) => {
          return new WriteOnce(newClient(0), { prefix: `load${i}`, workers: 1, valueBytesMax });
        });
        const reader = newClient(30_000);
        const until = async (goal: number, what: string, look: () => number): Promise<void> => {
          await eventually(() => look() >= goal, { what, deadlineMs: 60_000 });
        };
        const sum = (count: (load: WriteOnce) => number): number =>
          loads.reduce((total, load) => total + count(load), 0);
        const acked = (): number => sum((load) => load.acked.size);
        const refused = (): number => sum((load) => load.failed);
        /** At most a few lines, each with what stands there instead. */
        const missingFrom = async (client: RespClient): Promise<string> => {
          const lines: string[] = [];
          for (const load of loads) lines.push(...(await load.missing(client)));
          return lines.length === 0 ? '' : [`${lines.length}:`, ...lines.slice(0, 10)].join('\n');
        };
        for (let round = 0; round < rounds; round++) {
          await until(acked() + ackedPerRound, 'writes before the disk is full', acked);
          const victim = cluster.ids[dice.below(cluster.ids.length)] as number;
          const filled = round % 2 === 0 ? cluster.ids : [victim];
          for (const id of filled) imageOf.get(id)?.fill();
          await until(refused() + refusedPerRound, 'refusals while the disk is full', refused);
          for (const { lastFailure } of loads) expect(lastFailure).toMatch(/^(TRYAGAIN .*)?$/);
          for (const { acked: known } of loads) {
            for (const [key, value] of [...known].slice(-readsPerLoad)) {
              expect(await reader.read(key, ['GET', key])).toEqual({ kind: 'ok', reply: value });
            }
          }
          for (const id of filled) imageOf.get(id)?.free();
          await until(acked() + ackedPerRound, 'writes once there is space', acked);
          const after = refused();
          await until(acked() + ackedPerRound, 'more writes', acked);
          // Nobody is refused any more, but for those who had been told to wait.
          expect(refused() - after).toBeLessThanOrEqual(loadCount);
        }
        await Promise.all(loads.map((load) => load.stop()));
        for (const id of cluster.ids) expect(cluster.process(id).end).toBeNull();
        expect(await missingFrom(reader), 'before the hosts are killed').toBe('');

        // What the hosts say is what is on their disks.
        await Promise.all(cluster.ids.map((id) => cluster.kill(id)));
        await cluster.startAll();
        await cluster.whenServed();
        expect(await missingFrom(newClient(30_000)), 'after they were killed').toBe('');
        console.log(
          `disk-full line: ${rounds} times; ${acked()} acknowledged writes all there, ${refused()} refused, ` +
            `${sum(({ unknown }) => unknown)} unknown`,
        );
      },
      120_000 + rounds * 60_000,
    );
  },
);
