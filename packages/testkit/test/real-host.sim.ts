// The real host on the simulated world: what the simulator is for, in its smallest form.

import { type ApplyBatch, Host, type RaftGroup, type StateMachine } from '@flotilla/host';
import { FaultInjector, type SimHost, SimWorld } from '@flotilla/testkit';
import { describe, expect, test } from 'vitest';

class LogMachine implements StateMachine {
  readonly commands: string[] = [];

  apply(batch: ApplyBatch): void {
    for (let i = 0; i < batch.count; i++) {
      this.commands.push(Buffer.from(batch.payloadOf(i)).toString());
      batch.respond(i, this.commands.length);
    }
  }
}

interface Running {
  group: RaftGroup | null;
  machine: LogMachine;
}

const second = 1_000_000;

class Trio {
  readonly world: SimWorld;
  readonly running: Map<number, Running> = new Map();
  readonly acknowledged: string[] = [];
  readonly lines: string[] = [];
  #proposed = 0;

  constructor(seed: number, mode: 'frame' | 'byte') {
    this.world = new SimWorld({ seed, chaosOrder: seed % 2 === 1, network: { mode } });
    for (const id of [1, 2, 3]) {
      this.world.addHost(`n${id}`, { address: `127.0.0.${id}` }).disk.surgery.putDirectory('/data');
    }
  }

  start(host: SimHost): void {
    const id = Number(host.name.slice(1));
    const running: Running = { group: null, machine: new LogMachine() };
    this.running.set(id, running);
    void this.#open(host, id, running).catch((error) => this.lines.push(`${id}: ${String(error)}`));
  }

  async #open(host: SimHost, id: number, running: Running): Promise<void> {
    const opened = await Host.open({
      nodeId: id,
      directory: '/data/wal',
      create: host.lives === 0,
      clusterId: new Uint8Array(16).fill(1),
      listen: `127.0.0.${id}:7000`,
      peers: [1, 2, 3]
        .filter((other) => other !== id)
        .map((other) => ({ nodeId: other, address: `127.0.0.${other}:7000`, instance: 0 })),
      segmentBytes: 5 << 20,
      entryBytesMax: 128 << 10,
      world: host.start(),
      onInfo: (line) => this.lines.push(`${id}: ${line}`),
    });
    running.group = await opened.createGroup({
      groupId: 1,
      members: [1, 2, 3],
      stateMachine: running.machine,
    });
  }

  get leader(): RaftGroup | undefined {
    return (
      [...this.running.values()].find(({ group }) => group?.isLeader === true)?.group ?? undefined
    );
  }

  /** Keeps one proposal in flight at whoever leads, every 20 ms. */
  work(): void {
    const owner = this.world.kernel.owner('client');
    const tick = (): void => {
      this.world.kernel.schedule(20_000, owner, 'propose', tick);
      const command = `c${++this.#proposed}`;
      this.leader?.propose(Buffer.from(command)).then(
        () => this.acknowledged.push(command),
        () => {},
      );
    };
    tick();
  }

  async runFor(us: number): Promise<void> {
    await this.world.kernel.runAsync(null, { untilUs: this.world.kernel.nowUs + us });
  }

  down(host: SimHost): void {
    this.running.delete(Number(host.name.slice(1)));
  }
}

async function run(seed: number, mode: 'frame' | 'byte'): Promise<Trio> {
  const trio = new Trio(seed, mode);
  for (const host of trio.world.hosts) trio.start(host);
  trio.work();
  await trio.runFor(5 * second);
  expect(trio.acknowledged.length, trio.lines.join('\n')).toBeGreaterThan(50);

  const injector = new FaultInjector(trio.world, {
    onDown: (host) => trio.down(host),
    onUp: (host) => trio.start(host),
  });
  const first = trio.world.hosts[seed % 3] as SimHost;
  const other = trio.world.hosts[(seed + 1) % 3] as SimHost;
  injector.arm({
    seed,
    durationUs: 10 * second,
    windows: [
      {
        fromUs: second,
        untilUs: 3 * second,
        fault: { kind: 'powerCut', host: first.name, weights: {} },
      },
      { fromUs: 5 * second, untilUs: 6 * second, fault: { kind: 'kill', host: other.name } },
    ],
  });
  await trio.runFor(15 * second);
  expect(trio.running.size).toBe(3);
  const logs = [...trio.running.values()].map(({ machine }) => machine.commands);
  const longest = logs.reduce((a, b) => (b.length > a.length ? b : a));
  for (const log of logs) expect(log).toEqual(longest.slice(0, log.length));
  const applied = new Set(longest);
  expect(trio.acknowledged.filter((command) => !applied.has(command))).toEqual([]);
  return trio;
}

describe('the real host in simulation', () => {
  test('three hosts keep what they acknowledged over a power cut and a kill, the same way twice', async () => {
    for (const [mode, seed] of [
      ['frame', 1],
      ['byte', 2],
    ] as const) {
      const once = await run(seed, mode);
      const twice = await run(seed, mode);
      expect(twice.world.kernel.traceHash).toBe(once.world.kernel.traceHash);
      expect(twice.acknowledged).toEqual(once.acknowledged);
    }
  });
});
