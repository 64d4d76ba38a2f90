// The loads of the system tests themselves.

import { expect, it } from 'vitest';
import { RespClient } from '../tools/flotilla/src/resp-client.ts';
import { Dice, Registers, WriteOnce } from './support/load.ts';

it('a load ends with its client, though nobody stops it: a test that failed would otherwise never end', async () => {
  const client = new RespClient({ seeds: ['127.0.0.1:1'] });
  client.close();
  const once = new WriteOnce(client, { workers: 2 });
  const registers = new Registers([client], new Dice(1));
  await Promise.all([once.ended, registers.ended]);
  expect(once.acked.size).toBe(0);
  expect(registers.recorder.history()).toEqual([]);
});
