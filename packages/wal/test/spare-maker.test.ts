import type { File } from '@flotilla/io';
import { SimWorld } from '@flotilla/testkit';
import { describe, expect, it } from 'vitest';
import { type Spare, SpareMaker } from '../src/spare-maker.ts';

/** Several steps of zeros, with pauses. */
const bytes = 4 * 1024 * 1024;

describe('the maker of spares', () => {
  it('keeps the file that it made while others came back, so that a steady log makes no more of them', () => {
    const world = new SimWorld({ seed: 1, recentEventsMax: 0 });
    const host = world.addHost('a');
    host.disk.surgery.putDirectory('/wal');
    host.disk.surgery.putFile('/wal/reserve.seg', new Uint8Array(bytes));
    const life = host.start();
    const runUntil = (condition: () => boolean): void =>
      void world.kernel.runUntil(condition, { untilUs: world.kernel.nowUs + 10_000_000 });
    const plan = { directory: '/wal', bytes, nextCounter: 1, keepsReserve: true };
    const maker = new SpareMaker(
      life,
      plan,
      (what, error) => {
        throw new Error(`${what}: ${error.message}`);
      },
      () => {},
    );
    maker.adoptReserve();
    maker.want();
    const spares = (): string[] =>
      host.disk.surgery.list('/wal').filter((name) => name.startsWith('spare-'));
    runUntil(() => spares().length === 1);
    // Two segments are given up before it is whole.
    for (let i = 0; i < 2; i++) {
      const path = maker.freePath();
      let file: File | null = null;
      life.disk.open(path, 'create', (error, opened) => {
        if (error === null) file = opened;
      });
      runUntil(() => file !== null);
      maker.offer({ path, file: file as unknown as File });
    }
    world.kernel.runForUs(1_000_000);
    expect(spares()).toHaveLength(3);
    expect(host.disk.surgery.exists('/wal/reserve.seg')).toBe(true);
    const taken: Spare[] = [];
    for (let i = 0; i < 3; i++)
      maker.take(
        () => {},
        (spare) => taken.push(spare),
      );
    expect(taken).toHaveLength(3);
  });
});
