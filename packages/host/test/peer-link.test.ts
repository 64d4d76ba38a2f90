import { frameKinds } from '@flotilla/codec';
import { Message } from '@flotilla/core';
import type { Lane, Peer } from '@flotilla/transport';
import type { Wal } from '@flotilla/wal';
import { describe, expect, it } from 'vitest';
import { isBeat } from '../src/member-wire.ts';
import type { EngineCounters } from '../src/metrics.ts';
import { PeerLink, type PeerLinkEvents } from '../src/peer-link.ts';

describe('a beat', () => {
  it.each<{ up: readonly Lane[] }>([
    { up: [] },
    { up: ['control'] },
    { up: ['append'] },
    { up: ['control', 'append'] },
  ])(
    'goes out on each lane that is up, so that neither is dead for long without a word: $up',
    ({ up }) => {
      const sent: string[] = [];
      const peer = {
        isUp: (lane: Lane) => up.includes(lane),
        sendRecords(kind: number, records: number, bytes: Uint8Array): boolean {
          const lane = kind === frameKinds.control ? 'control' : 'append';
          if (records === 1 && isBeat(bytes, 0)) sent.push(lane);
          return true;
        },
      };
      const link = new PeerLink(
        peer as unknown as Peer,
        0,
        null as unknown as Wal,
        {} as EngineCounters,
        {} as PeerLinkEvents,
      );
      link.beat();
      link.flush(new Message());
      expect(sent.sort()).toEqual([...up].sort());
    },
  );
});
