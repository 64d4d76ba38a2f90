// A simulated network: machines, directed links between them, byte streams over the links. SimNet is the Net of one
// life of one process.
//
// Guarantees. Bytes of a connection arrive in order, at most once, and all of them unless the connection breaks. A
// dial where nobody listens is refused; to a machine that is off or cut off it hangs until its time-out. A paused
// process's system still accepts connections and buffers bytes. Nothing is called from inside a call.

import type { Callback, Conn, ConnHandlers, Listener, Net } from '@flotilla/io';
import { ioError } from './disk-tree.ts';
import { type ConnWorld, SimConn } from './sim-conn.ts';
import type { SimKernel, SimOwner } from './sim-kernel.ts';
import {
  defaultLink,
  type LinkOptions,
  type LinkState,
  type Packet,
  Pipe,
  type PipeWorld,
  SimLink,
  SimMachine,
} from './sim-link.ts';
import type { SimRng } from './sim-rng.ts';

export interface SimNetworkOptions {
  /** `frame` (default): every write arrives whole and alone. `byte`: split and merged anywhere. */
  readonly mode?: 'frame' | 'byte';
  /** What all links are unless setLink says otherwise. */
  readonly link?: Partial<LinkOptions>;
  /** Unread bytes of one direction of one connection that the two systems hold; default 256 KiB. */
  readonly windowBytes?: number;
  /** Waiting bytes from which write() answers false; default 64 KiB. */
  readonly sendMarkBytes?: number;
  /** A dial gives up after this long; default 10 s. */
  readonly connectTimeoutUs?: number;
  /** A connection gives up when its bytes are held up this long; default 60 s. */
  readonly retransmitTimeoutUs?: number;
  readonly poisonReceived?: boolean;
}

interface SimListener {
  readonly machine: SimMachine;
  readonly owner: SimOwner;
  readonly accept: (conn: Conn) => ConnHandlers | null;
}

export interface NetworkCounters {
  dials: number;
  refusedDials: number;
  accepted: number;
}

export class SimNetwork {
  readonly kernel: SimKernel;
  readonly counters: NetworkCounters = { dials: 0, refusedDials: 0, accepted: 0 };
  readonly #rng: SimRng;
  readonly #owner: SimOwner;
  readonly #options: Required<Omit<SimNetworkOptions, 'link'>>;
  readonly #defaultLink: LinkOptions;
  readonly #machines: Map<string, SimMachine> = new Map();
  readonly #links: Map<string, SimLink> = new Map();
  readonly #listeners: Map<string, SimListener> = new Map();
  /** Who listened where last: a dial to a machine that is off must hang, not be refused. */
  readonly #homes: Map<string, SimMachine> = new Map();
  readonly #conns: Set<SimConn> = new Set();
  readonly #connWorld: ConnWorld;
  readonly #pipeWorld: PipeWorld;
  #nextPort = 40_000;

  constructor(kernel: SimKernel, rng: SimRng, options: SimNetworkOptions = {}) {
    this.kernel = kernel;
    this.#rng = rng;
    this.#owner = kernel.owner('network');
    this.#defaultLink = { ...defaultLink, ...options.link };
    this.#options = {
      mode: options.mode ?? 'frame',
      windowBytes: options.windowBytes ?? 256 * 1024,
      sendMarkBytes: options.sendMarkBytes ?? 64 * 1024,
      connectTimeoutUs: options.connectTimeoutUs ?? 10_000_000,
      retransmitTimeoutUs: options.retransmitTimeoutUs ?? 60_000_000,
      poisonReceived: options.poisonReceived ?? false,
    };
    this.#connWorld = {
      ...this.#options,
      kernel,
      owner: this.#owner,
      rng: rng.fork('streams'),
      forget: (conn) => this.#conns.delete(conn),
    };
    const { retransmitTimeoutUs } = this.#options;
    this.#pipeWorld = { kernel, owner: this.#owner, retransmitTimeoutUs };
  }

  /** Adds a machine; `address` is the host part that it is known by, default `10.0.0.<number>`. */
  addMachine(name: string, address?: string): SimMachine {
    if (this.#machines.has(name)) throw new Error(`there is a machine ${name} already`);
    const id = this.#machines.size + 1;
    const machine = new SimMachine(name, id, address ?? `10.0.0.${id}`);
    this.#machines.set(name, machine);
    return machine;
  }

  machine(name: string): SimMachine {
    const machine = this.#machines.get(name);
    if (machine === undefined) throw new Error(`there is no machine ${name}`);
    return machine;
  }

  get machineNames(): string[] {
    return [...this.#machines.keys()];
  }

  /** The Net of one life of a process on that machine. */
  netFor(machine: SimMachine, owner: SimOwner): SimNet {
    return new SimNet(this, machine, owner);
  }

  // --- faults ---------------------------------------------------------------------------------------------------

  link(from: string, to: string): SimLink {
    const key = `${from}>${to}`;
    let link = this.#links.get(key);
    if (link === undefined) {
      const rng = this.#rng.fork(`link ${key}`);
      link = new SimLink(this.machine(from), this.machine(to), rng, this.#defaultLink);
      this.#links.set(key, link);
    }
    return link;
  }

  setLink(from: string, to: string, options: Partial<LinkOptions>): void {
    const link = this.link(from, to);
    link.options = { ...link.options, ...options };
  }

  /** Every link has the latency, bandwidth and losses that it began with. */
  resetLinkOptions(): void {
    for (const link of this.#links.values()) link.options = this.#defaultLink;
  }

  /** One direction. What was held up goes on when it becomes `up`. */
  setLinkState(from: string, to: string, state: LinkState): void {
    const link = this.link(from, to);
    link.state = state;
    if (state === 'up') releaseAll(link.waiting);
  }

  /** Both directions. */
  setPairState(a: string, b: string, state: LinkState): void {
    this.setLinkState(a, b, state);
    this.setLinkState(b, a, state);
  }

  /** Machines of different groups cannot reach each other, those of the same group can; others are left alone. */
  partition(groups: readonly (readonly string[])[]): void {
    for (const [i, group] of groups.entries()) {
      for (const [j, other] of groups.entries()) {
        const state = i === j ? 'up' : 'cut';
        for (const a of group) for (const b of other) if (a !== b) this.setLinkState(a, b, state);
      }
    }
  }

  /** No link is cut or clogged any more. */
  healAll(): void {
    for (const link of this.#links.values()) {
      this.setLinkState(link.from.name, link.to.name, 'up');
    }
  }

  /** Every connection between the two breaks at both ends. */
  resetBetween(a: string, b: string): void {
    for (const conn of [...this.#conns]) {
      const names = [conn.machine.name, conn.peer?.machine.name];
      if (names.includes(a) && names.includes(b)) conn.fail('ECONNRESET');
    }
  }

  /** Connections of `name` break at its end only: the other end stays open until it writes. */
  breakSilently(name: string, withPeer?: string): void {
    for (const conn of [...this.#conns]) {
      if (conn.machine.name !== name) continue;
      if (withPeer === undefined || conn.peer?.machine.name === withPeer) conn.fail('ECONNRESET');
    }
  }

  /** The process is dead and the system says so to all its peers. */
  processDied(machine: SimMachine): void {
    for (const conn of this.#connsOf(machine)) conn.hangUp();
    this.#vanish(machine);
  }

  /** The machine is off and says nothing: its peers learn it by time-outs, or when it is back. */
  powerLost(machine: SimMachine): void {
    machine.isOn = false;
    this.#vanish(machine);
  }

  powerRestored(machine: SimMachine): void {
    machine.isOn = true;
    releaseAll(machine.waiting);
  }

  #connsOf(machine: SimMachine): SimConn[] {
    return [...this.#conns].filter((conn) => conn.machine === machine);
  }

  #vanish(machine: SimMachine): void {
    for (const conn of this.#connsOf(machine)) conn.vanish();
    for (const [address, listener] of this.#listeners) {
      if (listener.machine === machine) this.#listeners.delete(address);
    }
  }

  /** Ends of connections that stand or are being made. */
  get connCount(): number {
    return this.#conns.size;
  }

  // --- for SimNet -----------------------------------------------------------------------------------------------

  listen(
    machine: SimMachine,
    owner: SimOwner,
    asked: string,
    accept: SimListener['accept'],
    callback: Callback<Listener>,
  ): void {
    const { host, port } = splitAddress(asked);
    const name = host === '0.0.0.0' || host === '::' ? machine.address : host;
    const address = `${name}:${port === 0 ? this.#nextPort++ : port}`;
    if (this.#listeners.has(address)) {
      const error = ioError('EADDRINUSE', address);
      this.kernel.schedule(0, owner, 'listen', () => callback(error, undefined as never));
      return;
    }
    const listener = { machine, owner, accept };
    this.#listeners.set(address, listener);
    this.#homes.set(address, machine);
    const close = (done: () => void): void => {
      if (this.#listeners.get(address) === listener) this.#listeners.delete(address);
      this.kernel.schedule(0, owner, 'listener closed', done);
    };
    this.kernel.schedule(0, owner, 'listen', () => callback(null, { address, close }));
  }

  dial(machine: SimMachine, owner: SimOwner, address: string, handlers: ConnHandlers): Conn {
    this.counters.dials += 1;
    const conn = new SimConn(this.#connWorld, machine, owner, address);
    conn.setHandlers(handlers);
    if (!owner.alive) return conn;
    this.#conns.add(conn);
    const target = this.#machineAt(address);
    if (target === undefined) {
      this.counters.refusedDials += 1;
      const delayUs = this.#defaultLink.latencyUs[0];
      this.kernel.schedule(delayUs, this.#owner, 'refused', () => conn.fail('ECONNREFUSED'));
      return conn;
    }
    const out = new Pipe(this.#pipeWorld, this.link(machine.name, target.name), conn, (packet) =>
      this.#arrive(conn, packet, target),
    );
    conn.connect(out);
    out.send({ kind: 'syn', address });
    const { connectTimeoutUs } = this.#options;
    const fail = (): void => conn.fail('ETIMEDOUT');
    conn.dialTimeout = this.kernel.schedule(connectTimeoutUs, this.#owner, 'dial time-out', fail);
    return conn;
  }

  #machineAt(address: string): SimMachine | undefined {
    const home = this.#listeners.get(address)?.machine ?? this.#homes.get(address);
    if (home !== undefined) return home;
    const host = address.slice(0, Math.max(0, address.lastIndexOf(':')));
    return [...this.#machines.values()].find((each) => each.address === host || each.name === host);
  }

  /** A packet from the dialling end arrives at the machine it dialled. */
  #arrive(source: SimConn, packet: Packet, target: SimMachine): void {
    if (packet.kind === 'syn') this.#arriveSyn(source, packet.address, target);
    else source.peer?.arrive(packet);
  }

  #arriveSyn(source: SimConn, address: string, target: SimMachine): void {
    const listener = this.#listeners.get(address);
    const owner = listener?.owner ?? this.#owner;
    const remote = `${source.machine.address}:${this.#nextPort++}`;
    const conn = new SimConn(this.#connWorld, target, owner, remote);
    const back = new Pipe(
      this.#pipeWorld,
      this.link(target.name, source.machine.name),
      conn,
      (packet) => source.arrive(packet),
    );
    if (listener === undefined || listener.machine !== target) {
      this.counters.refusedDials += 1;
      return back.send({ kind: 'reset' });
    }
    this.counters.accepted += 1;
    conn.connect(back);
    conn.peer = source;
    source.peer = conn;
    conn.stand();
    this.#conns.add(conn);
    back.send({ kind: 'synack' });
    this.kernel.schedule(0, owner, 'accept', () => {
      const handlers = listener.accept(conn);
      if (handlers === null) return conn.destroy();
      conn.setHandlers(handlers);
      conn.attach();
    });
  }
}

/** The network as one life of one process sees it. */
export class SimNet implements Net {
  readonly #network: SimNetwork;
  readonly #machine: SimMachine;
  readonly #owner: SimOwner;

  constructor(network: SimNetwork, machine: SimMachine, owner: SimOwner) {
    this.#network = network;
    this.#machine = machine;
    this.#owner = owner;
  }

  listen(
    address: string,
    accept: (conn: Conn) => ConnHandlers | null,
    callback: Callback<Listener>,
  ): void {
    if (!this.#owner.alive) return;
    this.#network.listen(this.#machine, this.#owner, address, accept, callback);
  }

  dial(address: string, handlers: ConnHandlers): Conn {
    return this.#network.dial(this.#machine, this.#owner, address, handlers);
  }
}

function releaseAll(waiting: Pipe[]): void {
  for (const pipe of waiting.splice(0)) pipe.release();
}

function splitAddress(address: string): { host: string; port: number } {
  const at = address.lastIndexOf(':');
  const port = Number(address.slice(at + 1));
  if (at < 1 || !Number.isInteger(port) || port < 0 || port > 65_535) {
    throw new RangeError(`address must be host:port, not ${JSON.stringify(address)}`);
  }
  return { host: address.slice(0, at).replace(/^\[|\]$/g, ''), port };
}
