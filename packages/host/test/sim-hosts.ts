// Real hosts on the simulated world, for the tests that need a certain disk, a certain moment or a pause: addresses,
// data directories and peers are settled here, groups and faults are the test's. Time moves only while one of the run
// methods is awaited; whatever throws out of a host's turn throws out of them. Elections are slow, so that whoever a
// test lets campaign first leads.

import { type SimHost, SimWorld } from '@flotilla/testkit';
import { type ApplyBatch, Host, type HostOptions, type StateMachine } from '../src/index.ts';

/** What became of a promise so far. */
export class Outcome<T> {
  /** `pending`, `done`, or the error's code or text. */
  state = 'pending';
  value: T | undefined;

  constructor(promise: Promise<T>) {
    promise.then(
      (value) => {
        this.value = value;
        this.state = 'done';
      },
      (error: unknown) => {
        const { code } = error as { readonly code?: unknown };
        this.state = typeof code === 'string' ? code : String(error);
      },
    );
  }

  get isSettled(): boolean {
    return this.state !== 'pending';
  }
}

export class CountingMachine implements StateMachine {
  commands = 0;

  apply(batch: ApplyBatch): void {
    for (let i = 0; i < batch.count; i++) batch.respond(i, ++this.commands);
  }
}

export class SimHosts {
  readonly world: SimWorld;
  readonly ids: readonly number[];
  /** Lines for operators, each behind the id of the host that wrote it. */
  readonly lines: string[] = [];
  readonly #hosts: Map<number, Host> = new Map();

  constructor(count: number, seed = 1) {
    this.world = new SimWorld({ seed, network: { mode: 'frame' } });
    this.ids = Array.from({ length: count }, (_, i) => i + 1);
    for (const id of this.ids) {
      const machine = this.world.addHost(`n${id}`, { address: `127.0.0.${id}` });
      machine.disk.surgery.putDirectory('/data');
    }
  }

  machine(id: number): SimHost {
    return this.world.host(`n${id}`);
  }

  host(id: number): Host {
    const host = this.#hosts.get(id);
    if (host === undefined) throw new Error(`host ${id} is not open`);
    return host;
  }

  /** Begins a life of the machine and opens its host; a first life creates the store. `peers` need not exist. */
  async open(
    id: number,
    options: Partial<HostOptions> = {},
    peers: readonly number[] = this.ids,
  ): Promise<Host> {
    const machine = this.machine(id);
    const opening = Host.open({
      nodeId: id,
      directory: '/data/wal',
      create: machine.lives === 0,
      clusterId: new Uint8Array(16).fill(1),
      listen: `127.0.0.${id}:7000`,
      peers: peers
        .filter((other) => other !== id)
        .map((other) => ({ nodeId: other, address: `127.0.0.${other}:7000`, instance: 0 })),
      electionMsMin: 5000,
      electionMsMax: 10_000,
      world: machine.start(),
      onInfo: (line) => this.lines.push(`${id}: ${line}`),
      ...options,
    });
    const host = await this.settle(opening);
    this.#hosts.set(id, host);
    return host;
  }

  async openAll(options: Partial<HostOptions> = {}): Promise<void> {
    for (const id of this.ids) await this.open(id, options);
  }

  /** Closes the host in good order and ends its machine's life. */
  async close(id: number): Promise<void> {
    await this.settle(this.host(id).close());
    this.#hosts.delete(id);
    this.machine(id).kill();
  }

  /** Its process is killed; what it had not synced stays in the page cache of its machine. */
  crash(id: number): void {
    this.#hosts.delete(id);
    this.machine(id).kill();
  }

  /** Makes the group's replica on each of the hosts named; answers their state machines in that order. */
  async createGroup(
    groupId: number,
    on: readonly number[] = this.ids,
    members: readonly number[] = this.ids,
  ): Promise<CountingMachine[]> {
    const machines: CountingMachine[] = [];
    for (const id of on) {
      const stateMachine = new CountingMachine();
      machines.push(stateMachine);
      await this.settle(this.host(id).createGroup({ groupId, members, stateMachine }));
    }
    return machines;
  }

  /** Makes host `id` the leader of the group, once the hosts that are open have had time to connect. */
  async lead(id: number, groupId: number): Promise<void> {
    // What a campaign sends before that is lost, and somebody else may be elected.
    const lanes = 2 * (this.#hosts.size - 1);
    const isConnected = (host: Host): boolean => (host.metrics()['sockets'] ?? 0) >= lanes;
    const { kernel } = this.world;
    const limits = { untilUs: kernel.nowUs + 2_000_000 };
    await kernel.runAsync(() => [...this.#hosts.values()].every(isConnected), limits);
    const group = this.host(id).group(groupId);
    await this.settle(group?.campaign() ?? Promise.reject(new Error(`no group ${groupId}`)));
    await this.until(() => group?.isLeader === true, `host ${id} leads group ${groupId}`);
  }

  get nowMs(): number {
    return this.world.kernel.nowUs / 1000;
  }

  async runMs(durationMs: number): Promise<void> {
    const { kernel } = this.world;
    await kernel.runAsync(null, { untilUs: kernel.nowUs + durationMs * 1000 });
  }

  /** Runs until the condition holds; throws where it does not within that much simulated time. */
  async until(condition: () => boolean, what: string, withinMs = 10_000): Promise<void> {
    const { kernel } = this.world;
    const limits = { untilUs: kernel.nowUs + withinMs * 1000 };
    const end = await kernel.runAsync(condition, limits);
    if (end === 'met' || condition()) return;
    throw new Error(`not within ${withinMs} ms: ${what}\n${this.lines.join('\n')}`);
  }

  /** Runs until the promise is settled and answers what it brought. */
  async settle<T>(promise: Promise<T>, withinMs = 10_000): Promise<T> {
    const outcome = new Outcome(promise);
    await this.until(() => outcome.isSettled, 'a promise is settled', withinMs);
    return promise;
  }
}
