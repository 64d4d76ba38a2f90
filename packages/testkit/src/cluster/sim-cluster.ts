// One run of real hosts in simulation, from its plan to its verdict: start, work, faults, healing, and the checks of the
// whole history. The same plan gives the same trace on every machine.
//
// `pass` means that nothing was violated and every check came to a verdict; a linearizability check that ran out of
// steps, or a run that did not come to its end, is a violation of T1 or C2, never a pass.

import { FaultInjector } from '../fault-injector.ts';
import type { FaultWindow } from '../fault-schedule.ts';
import { checkLinearizable } from '../linearizability.ts';
import { describeRegisterOperation, HistoryRecorder, registerModel } from '../register-model.ts';
import type { SimHost } from '../sim-world.ts';
import { SimWorld } from '../sim-world.ts';
import { ClusterClient, type History } from './cluster-client.ts';
import type { ClusterContext } from './cluster-context.ts';
import { ClusterHost, describe } from './cluster-host.ts';
import { ClusterOperator } from './cluster-operator.ts';
import { type ClusterPlan, hostName } from './cluster-plan.ts';
import { Healing } from './heal.ts';
import { Ledger } from './ledger.ts';
import { Monitor } from './monitor.ts';
import { OutcomeCheck } from './outcome-check.ts';
import { faultTotals, newTotals, type Totals } from './totals.ts';
import { type Violation, ViolationLog } from './violation.ts';
import { Witness } from './witness.ts';

export interface ClusterResult {
  readonly seed: number;
  readonly config: string;
  readonly verdict: 'pass' | 'violation';
  readonly violation: Violation | null;
  readonly events: number;
  readonly simulatedSeconds: number;
  readonly traceHash: string;
  readonly totals: Totals;
  /** Of a violation: latest events and what hosts said last. */
  readonly report: string;
}

const second = 1_000_000;
/** Time for healing, the longest waits in it together. */
const healUsMax: number = 400 * second;
const eventsMax = 60_000_000;

export function runCluster(plan: ClusterPlan): Promise<ClusterResult> {
  return new ClusterRun(plan).run();
}

class ClusterRun {
  readonly #plan: ClusterPlan;
  readonly #world: SimWorld;
  readonly #context: ClusterContext;
  readonly #hosts: ClusterHost[];
  readonly #injector: FaultInjector;
  readonly #history: History;
  readonly #violations: ViolationLog;

  constructor(plan: ClusterPlan) {
    this.#plan = plan;
    const { seed, chaosOrder, forbidAmbient, networkMode, poisonReceived, disk } = plan;
    const world = new SimWorld({
      seed,
      chaosOrder,
      forbidAmbient,
      network: { mode: networkMode, poisonReceived },
      disk: { latency: disk, callLogMax: 0 },
    });
    this.#world = world;
    const { kernel } = world;
    const totals = newTotals();
    const violations = new ViolationLog(
      () => kernel.nowUs,
      () => kernel.stop(),
    );
    this.#violations = violations;
    const witness = new Witness(violations, totals, {
      eventCount: () => kernel.eventCount,
      onVoteSent: (host) => this.#hosts[host - 1]?.voteSent(),
      onEntryPromised: (host) => this.#hosts[host - 1]?.entryPromised(),
    });
    const outcomes = new OutcomeCheck(violations, () => kernel.eventCount);
    const ledger = new Ledger(violations, {
      onFirstApplied: (groupId, index, term) => witness.onApplied(groupId, index, term),
      onApplied: (host, id) => outcomes.applied(host, id),
    });
    for (const { id, members } of plan.groups) witness.addGroup(id, members);
    this.#context = { plan, world, totals, violations, ledger, witness, outcomes, info: [] };
    this.#history = new HistoryRecorder(() => kernel.nowUs);
    this.#hosts = plan.hosts.map((host) => {
      const address = `127.0.0.${host.id}`;
      const sim = world.addHost(hostName(host.id), { address, clock: { rate: host.clockRate } });
      sim.disk.surgery.putDirectory('/data');
      return new ClusterHost(this.#context, host, sim);
    });
    const keeper = (sim: SimHost): ClusterHost => {
      const host = this.#hosts.find((each) => each.sim === sim);
      if (host === undefined) throw new Error(`nobody keeps ${sim.name}`);
      return host;
    };
    this.#injector = new FaultInjector(world, {
      onDown: (sim, how) => {
        totals.crashes += 1;
        if (how === 'kill') totals.kills += 1;
        else totals.powerCuts += 1;
        keeper(sim).onDown();
      },
      onUp: (sim) => keeper(sim).start(),
    });
  }

  async run(): Promise<ClusterResult> {
    try {
      await this.#carryOut();
    } catch (error) {
      this.#violations.report('X1', `an event of the simulation threw: ${describe(error)}`);
    }
    const violation = this.#violations.first;
    const { kernel } = this.#world;
    return {
      seed: this.#plan.seed,
      config: this.#plan.config,
      verdict: violation === null ? 'pass' : 'violation',
      violation,
      events: kernel.eventCount,
      simulatedSeconds: kernel.nowUs / second,
      traceHash: kernel.traceHash,
      totals: this.#context.totals,
      report: violation === null ? '' : [...this.#context.info, kernel.report()].join('\n'),
    };
  }

  async #carryOut(): Promise<void> {
    const { plan } = this.#context;
    for (const host of this.#hosts) host.start();
    new Monitor(this.#context, this.#hosts).start();
    const clients = plan.clients.map(
      ({ id }) => new ClusterClient(id, this.#context, this.#hosts, this.#history),
    );
    const work: Promise<unknown>[] = clients.map((client, i) =>
      client.run(plan.clients[i]?.operations ?? []),
    );
    const isDone = this.#watch(work);
    await this.#until(() => false, plan.warmupUs);
    this.#injector.arm(plan.faults);
    const isOperated = this.#watch(this.#operate());
    for (const { host, atUs, downUs } of plan.stops) this.#hosts[host - 1]?.stopLater(atUs, downUs);
    await this.#until(() => false, plan.faults.durationUs);
    await this.#crashAtLast();
    this.#undoFaults();
    await this.#until(isDone, healUsMax);
    if (!isDone()) this.#violations.report('T1', 'the clients did not come to an end');
    await this.#until(isOperated, healUsMax);
    if (!isOperated()) this.#violations.report('T1', 'the operators did not come to an end');
    if (this.#violations.first !== null) return;
    const healer = new ClusterClient(
      plan.clients.length + 1,
      this.#context,
      this.#hosts,
      this.#history,
    );
    const isHealed = this.#watch([new Healing(this.#context, this.#hosts, healer).run()]);
    await this.#until(isHealed, healUsMax);
    if (!isHealed()) this.#violations.report('T1', 'healing did not come to an end');
    for (const host of this.#hosts) host.onDown();
    this.#countCrashes();
    if (this.#violations.first === null) checkHistory(this.#history, this.#violations);
  }

  /** A seed in which no process was ended shows little: the plan says which one it is then. */
  async #crashAtLast(): Promise<void> {
    const { lastCrash } = this.#plan;
    if (lastCrash === null || this.#context.totals.crashes > 0) return;
    const { order, downUs, weights } = lastCrash;
    const host = order.find((name) => this.#world.host(name).isRunning);
    if (host === undefined) return;
    const window = {
      fromUs: 0,
      untilUs: downUs,
      fault: { kind: 'powerCut', host, weights },
    } as const;
    this.#injector.arm({ ...this.#plan.faults, windows: [window] });
    await this.#until(() => false, downUs);
  }

  /** Runs the kernel until the condition holds, a violation is found or the time is over. */
  async #until(condition: () => boolean, durationUs: number): Promise<void> {
    if (this.#violations.first !== null) return;
    const { kernel } = this.#world;
    const untilUs = kernel.nowUs + durationUs;
    const end = await kernel.runAsync(condition, { untilUs, eventsMax });
    if (end === 'budget') this.#violations.report('T1', `${eventsMax} events were not enough`);
  }

  /** The planned changes of members and leaders; times count from now. */
  #operate(): Promise<unknown>[] {
    const { changes, groups } = this.#plan;
    if (changes.length === 0) return [];
    const { nowUs } = this.#world.kernel;
    return groups.map(({ id }) => {
      const operator = new ClusterOperator(id, this.#context, this.#hosts);
      return operator.run(
        changes.filter(({ group }) => group === id),
        nowUs,
      );
    });
  }

  #watch(work: readonly Promise<unknown>[]): () => boolean {
    let isDone = work.length === 0;
    Promise.all(work).then(
      () => {
        isDone = true;
      },
      (error: unknown) => this.#violations.report('X1', describe(error)),
    );
    return () => isDone;
  }

  #countCrashes(): void {
    const { totals } = this.#context;
    for (const { sim } of this.#hosts) {
      const { lost, kept, torn, zeros, stale } = sim.disk.crashCounts;
      totals.writesLost += lost;
      totals.writesKept += kept;
      totals.writesTorn += torn;
      totals.writesZeroed += zeros;
      totals.writesStale += stale;
    }
  }

  #undoFaults(): void {
    this.#injector.healAll();
    for (const { sim } of this.#hosts) sim.disk.clearFaults();
    const { totals } = this.#context;
    const { installed } = this.#injector;
    for (const [kind, count] of installed) {
      totals.faultWindows += count;
      const name = faultTotals[kind];
      if (name !== null) totals[name] += count;
    }
    totals.oneWayPartitions += this.#plan.faults.windows.filter(isOneWayCut).length;
  }
}

/** Whether some link is cut in one direction only. */
function isOneWayCut({ fault }: FaultWindow): boolean {
  if (fault.kind !== 'cut') return false;
  const names = new Set(fault.links.map(([from, to]) => `${from}>${to}`));
  return fault.links.some(([from, to]) => !names.has(`${to}>${from}`));
}

/** C2: what clients saw is linearizable, key by key. A search without a verdict counts as a violation. */
export function checkHistory(history: History, violations: ViolationLog): void {
  const checked = checkLinearizable(registerModel(), history.history());
  if (checked.verdict === 'ok') return;
  const lines =
    checked.verdict === 'violation'
      ? checked.counterExample.map((operation) => `  ${describeRegisterOperation(operation)}`)
      : [`  no verdict within ${checked.steps} steps`];
  violations.report('C2', [`key ${checked.key}:`, ...lines].join('\n'));
}
