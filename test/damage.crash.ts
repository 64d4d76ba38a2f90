// Damage on disk between two lives of a host: what was acknowledged is never cut off in silence, and a write that a crash
// tore never keeps a host from starting.

import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest';
import { TestCluster } from './support/cluster.ts';
import { eventually, within } from './support/eventually.ts';
import { Dice, WriteOnce } from './support/load.ts';
import {
  type Batch,
  batchesOf,
  flipByte,
  hashesOf,
  pageBytes,
  storeWitness,
  zeroPage,
} from './support/log-image.ts';
import { killAll, type ProcessEnd } from './support/processes.ts';

const seed = Number(process.env['FLOTILLA_SEED'] ?? Date.now() % 2 ** 32);
const victim = 2;

let cluster: TestCluster;
beforeEach(async () => {
  cluster = await TestCluster.start({ groups: 4 });
});
afterEach(() => cluster?.dispose());
afterAll(killAll);

describe(`damage on disk (FLOTILLA_SEED=${seed})`, () => {
  it('after a clean stop one changed byte in any batch is refused by name, and no file changes', async () => {
    const dice = new Dice(seed);
    const acked = await writeSome(400);
    // A second life after a crash: a log of several segments, with a batch that was carried over.
    await cluster.kill(victim);
    await cluster.startHost(victim);
    await cluster.whenServed();
    const more = await writeSome(400, 'later');
    expect(await cluster.stopAll()).toEqual(cluster.ids.map(() => ({ code: 0, signal: null })));

    const directory = cluster.walDirectory(victim);
    const batches = batchesOf(directory);
    expect(new Set(batches.map(({ file }) => file)).size).toBeGreaterThan(1);
    const last = batches.length - 1;
    const chosen = new Set([
      0,
      last >> 1,
      last,
      ...Array.from({ length: 5 }, () => dice.below(last)),
    ]);
    let tried = 0;
    for (const at of chosen) {
      const batch = batches[at] as Batch;
      for (const offset of offsetsIn(batch, dice)) {
        const mask = dice.below(2) === 0 ? 1 << dice.below(8) : 1 + dice.below(255);
        flipByte(batch.path, offset, mask);
        const where = `byte ${offset} of ${batch.file} (batch ${batch.seq}) xor ${mask}`;
        const before = hashesOf(directory);
        const host = cluster.spawn(victim);
        expect(await within(host.ended, { what: where }), where).toEqual(refusal);
        expect(host.stderr, where).toContain('WAL_CORRUPT');
        expect(host.stderr, where).toContain(batch.file);
        expect(host.stderr, where).toContain(`page ${batch.page} `);
        expect(host.stderr, where).toContain(`batch ${batch.seq}`);
        expect(host.stderr, where).toContain('evidence');
        expect(hashesOf(directory), where).toEqual(before);
        flipByte(batch.path, offset, mask);
        tried++;
      }
    }
    expect(tried).toBeGreaterThanOrEqual(3 * 5);

    // The damage was all that kept it from starting.
    await cluster.startAll();
    await cluster.whenServed();
    const client = cluster.client();
    expect(await acked.missing(client)).toEqual([]);
    expect(await more.missing(client)).toEqual([]);
    client.close();
  });

  it('after kill -9 under load a last batch that nothing vouches for may be zeroed: the host opens', async () => {
    const client = cluster.client();
    const load = new WriteOnce(client);
    await eventually(() => load.acked.size >= 300, { what: 'writes before the kill' });
    const batch = await killWithUnwitnessedTail();
    await load.stop();
    zeroPage(batch.path, batch.page);
    const ready = await cluster.startHost(victim);
    expect((ready['recovery'] as { verdict: string }).verdict).toMatch(/^(torn|cleanEnd)$/);
    expect((ready['recovery'] as { lastSeq: number }).lastSeq).toBeGreaterThanOrEqual(
      batch.seq - 1,
    );
    await cluster.whenServed();
    expect(await load.missing(client)).toEqual([]);
    client.close();
  });
});

const refusal: ProcessEnd = { code: 78, signal: null };

/** Places in the header, in the body and in the padding. */
function offsetsIn({ offset, bytes, bodyBytes }: Batch, dice: Dice): number[] {
  return [
    offset,
    offset + dice.below(64),
    offset + 64,
    offset + 64 + dice.below(bodyBytes),
    offset + bytes - 1 - dice.below(Math.min(64, bytes - 64 - bodyBytes) || 1),
  ];
}

async function writeSome(count: number, prefix = 'first'): Promise<WriteOnce> {
  const client = cluster.client();
  const load = new WriteOnce(client, { prefix });
  await eventually(() => load.acked.size >= count, { what: `${count} writes` });
  await load.stop();
  client.close();
  return load;
}

/**
 * Kills the host, again and again under the same load, until its log ends in a batch whose durability nothing shows; the
 * lazy witness is written about once a second, so this is the usual case.
 */
async function killWithUnwitnessedTail(): Promise<Batch> {
  for (let tries = 0; tries < 10; tries++) {
    await cluster.kill(victim);
    const directory = cluster.walDirectory(victim);
    const batches = batchesOf(directory);
    const last = batches.at(-1);
    const witnessed = Math.max(
      storeWitness(directory),
      ...batches.map(({ durableSeq }) => durableSeq),
    );
    if (last !== undefined && last.bytes === pageBytes && last.seq > witnessed) return last;
    await cluster.startHost(victim);
    await cluster.whenServed();
  }
  throw new Error('the last batch was witnessed ten times in a row');
}
