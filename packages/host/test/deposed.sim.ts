// What callers are told when their leader is deposed: by a peer that is played by hand, so that what the host reads before
// its next turn is known to the message.

import { frameKinds } from '@flotilla/codec';
import { Message, type MessageKind, messageKinds } from '@flotilla/core';
import {
  openTransport,
  type Peer,
  type ReceivedFrame,
  type Transport,
  type TransportEvents,
} from '@flotilla/transport';
import { describe, expect, it } from 'vitest';
import {
  isHostRecord,
  messageBytesAt,
  messageBytesMax,
  putMessage,
  readMessage,
} from '../src/wire.ts';
import { Outcome, SimHosts } from './sim-hosts.ts';

const groupId = 1;

/** Node 2: grants every vote, and takes every append while it is told to. */
class PlayedPeer implements TransportEvents {
  #peer!: Peer;
  takesAppends = true;

  static async open(hosts: SimHosts): Promise<PlayedPeer> {
    const played = new PlayedPeer();
    const opening = new Promise<Transport>((resolve, reject) => {
      openTransport(
        hosts.machine(2).start(),
        {
          nodeId: 2,
          clusterId: new Uint8Array(16).fill(1),
          storeUuid: new Uint8Array(16).fill(2),
          instance: 2,
          epoch: 1,
          listen: '127.0.0.2:7000',
        },
        played,
        (error, transport) => (error === null ? resolve(transport) : reject(error)),
      );
    });
    const transport = await hosts.settle(opening);
    played.#peer = transport.addPeer({ nodeId: 1, address: '127.0.0.1:7000', instance: 0 });
    return played;
  }

  get isConnected(): boolean {
    return this.#peer.isUp('control') && this.#peer.isUp('append');
  }

  onFrame(_peer: Peer, frame: ReceivedFrame): void {
    const { headsEnd, words } = frame;
    for (let at = frame.kind === frameKinds.append ? frame.at + 8 : frame.at; at < headsEnd; ) {
      const message = new Message();
      if (!isHostRecord(words, at) && readMessage(words, at, message)) this.#answer(message);
      at += messageBytesAt(words, at, headsEnd);
    }
  }
  onLaneUp(): void {}
  onLaneDown(): void {}
  onDrain(): void {}
  onPeerIdentity(): void {}
  onProblem(): void {}

  #answer({ kind, lastIndex, stream, term }: Message): void {
    if (kind === messageKinds.vote) this.send(messageKinds.voteAnswer, { term, granted: true });
    if (kind !== messageKinds.append || !this.takesAppends) return;
    this.send(messageKinds.appendAnswer, { term, granted: true, index: lastIndex, stream });
  }

  send(kind: MessageKind, fields: Partial<Message>): void {
    const message = Object.assign(new Message(), fields, { kind });
    const words = new Int32Array(messageBytesMax / 4);
    const bytes = new Uint8Array(words.buffer);
    const length = putMessage(words, 0, message, groupId, 0);
    if (kind === messageKinds.append) this.#peer.sendAppend(1, bytes, length, [], () => {});
    else {
      const isAnswer = kind === messageKinds.appendAnswer;
      this.#peer.sendRecords(
        isAnswer ? frameKinds.appendAnswer : frameKinds.control,
        1,
        bytes,
        length,
      );
    }
  }
}

describe('a leader that is deposed', () => {
  it('answers a write that the next leader has committed by its next turn with its result, and gives up what is not', async () => {
    const hosts = new SimHosts(2);
    await hosts.open(1, {}, [1, 2, 3]);
    const played = await PlayedPeer.open(hosts);
    await hosts.createGroup(groupId, [1], [1, 2, 3]);
    await hosts.until(() => played.isConnected, 'the played peer is connected');
    const group = hosts.host(1).group(groupId);
    await hosts.settle(group?.campaign({ preVote: false }) as Promise<void>);
    await hosts.until(() => group?.status().commitIndex === 1, 'host 1 leads');
    played.takesAppends = false;
    const write = (): Outcome<{ readonly result: unknown }> =>
      new Outcome(group?.propose(new Uint8Array(8)) as Promise<{ readonly result: unknown }>);
    const writes = [write(), write()];
    await hosts.until(() => group?.status().lastIndex === 3, 'both are laid');
    // Three frames that are read before its next turn: it is deposed, one of the writes is committed, the other is not yet.
    hosts.machine(1).pause();
    const append = { term: 2, prevIndex: 3, prevTerm: 1, lastIndex: 3, entriesTerm: 1, stream: 1 };
    for (const commit of [1, 1, 2]) played.send(messageKinds.append, { ...append, commit });
    await hosts.runMs(100);
    hosts.machine(1).resume();
    await hosts.until(() => writes.every(({ isSettled }) => isSettled), 'both are answered');
    expect(writes.map(({ state, value }) => [state, value?.result])).toEqual([
      ['done', 1],
      ['OUTCOME_UNKNOWN', undefined],
    ]);
    expect(group?.isLeader).toBe(false);
    expect(group?.status()).toMatchObject({ term: 2, appliedIndex: 2, lastIndex: 3 });
  });
});
