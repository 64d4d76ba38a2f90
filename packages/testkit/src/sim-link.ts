// Directed links between machines, and pipes: one direction of one connection on a link. A pipe keeps the order of its
// packets whatever happens to the link; packets that a cut, a clog or a dead machine holds up go on in order when it
// ends, as retransmission does it. Only resets are lost for good, when they are sent into a cut.

import type { SimConn } from './sim-conn.ts';
import type { SimEvent, SimKernel, SimOwner } from './sim-kernel.ts';
import type { SimRng } from './sim-rng.ts';

/**
 * `clogged`: everything waits, and arrives in a burst afterwards. `cut`: the same for what is retransmitted, but
 * resets are lost, so that the other side may never learn that a connection is gone.
 */
export type LinkState = 'up' | 'clogged' | 'cut';

export interface LinkOptions {
  /** [shortest, longest] time on the way; most packets are near the shortest. */
  readonly latencyUs: readonly [number, number];
  readonly bytesPerSecond: number;
  /** Chance of a data packet to break its connection instead of arriving whole. */
  readonly resetChance: number;
}

/** Two machines in one data centre. */
export const defaultLink: LinkOptions = {
  latencyUs: [50, 1000],
  bytesPerSecond: 1e9,
  resetChance: 0,
};

export type Packet =
  | { readonly kind: 'syn'; readonly address: string }
  | { readonly kind: 'synack' }
  | { readonly kind: 'data'; readonly bytes: Uint8Array }
  | { readonly kind: 'credit'; readonly bytes: number }
  | { readonly kind: 'fin' }
  | { readonly kind: 'reset' };

/** A machine's name on the network, for all its lives. */
export class SimMachine {
  readonly name: string;
  readonly id: number;
  /** The host part of its addresses. */
  readonly address: string;
  /** Off: packets to it wait until it is on again, and then meet nobody who knows them. */
  isOn = true;
  readonly waiting: Pipe[] = [];

  constructor(name: string, id: number, address: string) {
    this.name = name;
    this.id = id;
    this.address = address;
  }
}

export class SimLink {
  readonly from: SimMachine;
  readonly to: SimMachine;
  readonly rng: SimRng;
  options: LinkOptions;
  state: LinkState = 'up';
  busyUntilUs = 0;
  /** One for each packet that is held up. */
  readonly waiting: Pipe[] = [];

  constructor(from: SimMachine, to: SimMachine, rng: SimRng, options: LinkOptions) {
    this.from = from;
    this.to = to;
    this.rng = rng;
    this.options = options;
  }

  /** When a packet that is sent now arrives. */
  arrivalUs(nowUs: number, bytes: number): number {
    const { latencyUs, bytesPerSecond } = this.options;
    const start = Math.max(nowUs, this.busyUntilUs);
    this.busyUntilUs = start + (bytes / bytesPerSecond) * 1e6;
    const share = this.rng.float() ** 3;
    return this.busyUntilUs + latencyUs[0] + share * (latencyUs[1] - latencyUs[0]);
  }
}

export interface PipeWorld {
  readonly kernel: SimKernel;
  /** The network itself: owner of everything that happens outside processes. */
  readonly owner: SimOwner;
  /** A pipe that is held up this long gives up with ETIMEDOUT. */
  readonly retransmitTimeoutUs: number;
}

const packetHeadBytes = 60;

export class Pipe {
  readonly #world: PipeWorld;
  readonly link: SimLink;
  readonly #source: SimConn;
  readonly #arrive: (packet: Packet) => void;
  readonly #flight: Packet[] = [];
  #lastArrivalUs = 0;
  #giveUp: SimEvent | null = null;

  constructor(world: PipeWorld, link: SimLink, source: SimConn, arrive: (packet: Packet) => void) {
    this.#world = world;
    this.link = link;
    this.#source = source;
    this.#arrive = arrive;
  }

  send(packet: Packet): void {
    if (packet.kind === 'reset' && this.link.state === 'cut') return;
    this.#flight.push(packet);
    this.#schedule(packetHeadBytes + (packet.kind === 'data' ? packet.bytes.length : 0));
  }

  #schedule(bytes: number): void {
    const { kernel, owner } = this.#world;
    const at = Math.max(this.link.arrivalUs(kernel.nowUs, bytes), this.#lastArrivalUs);
    this.#lastArrivalUs = at;
    kernel.schedule(at - kernel.nowUs, owner, 'packet', () => this.#arriveNext());
  }

  /** One packet is due: the oldest, whichever it was that made the event. */
  #arriveNext(): void {
    const target = this.link.to;
    const holder = this.link.state !== 'up' ? this.link : target.isOn ? null : target;
    if (holder !== null) {
      holder.waiting.push(this);
      this.#giveUpLater();
      return;
    }
    this.#giveUp?.cancel();
    this.#giveUp = null;
    const packet = this.#flight.shift();
    if (packet !== undefined) this.#arrive(packet);
  }

  /** After a hold has ended: one held packet goes on. */
  release(): void {
    this.#schedule(packetHeadBytes);
  }

  #giveUpLater(): void {
    // Nobody waits for an acknowledgement of an acknowledgement.
    if (this.#giveUp !== null || this.#flight[0]?.kind === 'credit') return;
    const { kernel, owner, retransmitTimeoutUs } = this.#world;
    this.#giveUp = kernel.schedule(retransmitTimeoutUs, owner, 'give up', () => {
      this.#flight.length = 0;
      this.#source.fail('ETIMEDOUT');
    });
  }
}
