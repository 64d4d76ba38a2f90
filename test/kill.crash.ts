// The kill line: hosts are ended with kill -9 under load, one at a time and then all at once, and nothing that was
// acknowledged is lost, nothing that is read is stale.
//
// FLOTILLA_KILL_ROUNDS sets the number of rounds (20 in a full run), FLOTILLA_SEED repeats the choices of a run. What the
// operating system does with the processes is not repeatable, so a seed narrows a failure down and does not replay it.

import { checkLinearizable, type RegisterOperation, registerModel } from '@flotilla/testkit';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { RespClient } from '../tools/flotilla/src/resp-client.ts';
import { TestCluster } from './support/cluster.ts';
import { eventually } from './support/eventually.ts';
import { Dice, Registers, WriteOnce } from './support/load.ts';
import { killAll } from './support/processes.ts';
import { equalHashes, linearizability, plantStaleRead } from './support/verdicts.ts';

const rounds = Number(process.env['FLOTILLA_KILL_ROUNDS'] ?? 6);
const seed = Number(process.env['FLOTILLA_SEED'] ?? Date.now() % 2 ** 32);
const ackedMin = 5_000;
/** Writes that must be acknowledged between one fault and the next, so that no fault meets an idle cluster. */
const ackedPerRound = 300;
const registerClients = 8;

let cluster: TestCluster;
const clients: RespClient[] = [];
let history: RegisterOperation[] = [];

function newClient(): RespClient {
  const client = cluster.client({ retryMs: 60_000, callMs: 15_000 });
  clients.push(client);
  return client;
}

beforeAll(async () => {
  cluster = await TestCluster.start();
});

afterAll(async () => {
  for (const client of clients) client.close();
  await cluster?.dispose();
  await killAll();
});

describe(`kill -9 under load (FLOTILLA_SEED=${seed}, ${rounds} rounds)`, () => {
  it(
    'loses no acknowledged write and serves no stale read',
    async () => {
      console.log(`kill line: FLOTILLA_SEED=${seed}, ${rounds} rounds`);
      const dice = new Dice(seed);
      const once = new WriteOnce(newClient());
      const registers = new Registers(
        Array.from({ length: registerClients }, newClient),
        new Dice(dice.below(2 ** 31)),
      );
      for (let round = 1; round <= rounds; round++) {
        await once.progress(ackedPerRound);
        const victim = cluster.ids[dice.below(cluster.ids.length)] as number;
        await cluster.kill(victim);
        // Every other time the survivors must have gone on before the victim returns.
        if (dice.below(2) === 0) await once.progress(ackedPerRound);
        await cluster.startHost(victim);
        await cluster.whenServed();
      }
      await once.progress(ackedPerRound);
      await Promise.all(cluster.ids.map((id) => cluster.kill(id)));
      await cluster.startAll();
      await cluster.whenServed();
      await once.progress(Math.max(ackedPerRound, ackedMin - once.acked.size));
      await Promise.all([once.stop(), registers.stop()]);

      expect(once.lastFailure).toBe('');
      expect(await once.missing(newClient())).toEqual([]);
      expect(once.acked.size).toBeGreaterThanOrEqual(ackedMin);

      history = registers.recorder.history();
      const unknown = history.filter(({ returned }) => returned === null).length;
      expect(linearizability(history)).toBe('ok');
      console.log(
        `kill line: ${once.acked.size} acknowledged writes all there (${once.unknown} unknown); ` +
          `${history.length} operations on registers linearizable (${unknown} unknown)`,
      );
    },
    120_000 + rounds * 30_000,
  );

  it('would have noticed a stale read: one planted into this very history is found', () => {
    expect(history.length).toBeGreaterThan(1_000);
    const planted = plantStaleRead(history, new Dice(seed));
    expect(checkLinearizable(registerModel(), planted).verdict).toBe('violation');
  });

  it('leaves three replicas of each group with equal state', async () => {
    await cluster.whenServed();
    const hashes = await eventually(() => equalHashes(newClient(), cluster.addresses), {
      what: 'equal state hashes on all hosts',
    });
    expect(hashes).toBeGreaterThan(1);
  });
});
