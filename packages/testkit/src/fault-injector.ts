// Carries a fault schedule out on a simulated world. Windows may overlap in any way: what a link, a disk, a clock or a
// process is like at a moment follows from all windows that are open then, so any of them can be left out.

import { type CrashWeights, randomCrash } from './disk-crash.ts';
import {
  type Fault,
  type FaultKind,
  type FaultSchedule,
  type FaultWindow,
  takesDown,
} from './fault-schedule.ts';
import type { SimOwner } from './sim-kernel.ts';
import type { LinkState } from './sim-link.ts';
import type { SimHost, SimWorld } from './sim-world.ts';

/** What the one who runs processes on the hosts does about it. */
export interface FaultHooks {
  /** The host is off (`powerCut`) or its process dead (`kill`); `host` has been told already. */
  onDown(host: SimHost, how: 'kill' | 'powerCut'): void;
  /** No window keeps the host down any more: start a process on it. */
  onUp(host: SimHost): void;
}

export class FaultInjector {
  /** Windows that were really opened, by kind: a run counts only if its faults happened. */
  readonly installed: Map<FaultKind, number> = new Map();
  readonly #world: SimWorld;
  readonly #hooks: FaultHooks;
  readonly #open: Set<FaultWindow> = new Set();
  readonly #owner: SimOwner;
  /** Rate that each host's clock had before the first window changed it. */
  readonly #rates: Map<string, number> = new Map();

  constructor(world: SimWorld, hooks: FaultHooks) {
    this.#world = world;
    this.#hooks = hooks;
    this.#owner = world.kernel.owner('faults');
  }

  /** Puts all windows of the schedule on the kernel, its time zero being now. */
  arm(schedule: FaultSchedule): void {
    for (const window of schedule.windows) {
      const { kernel } = this.#world;
      kernel.schedule(window.fromUs, this.#owner, `begin ${window.fault.kind}`, () =>
        this.#begin(window),
      );
      kernel.schedule(window.untilUs, this.#owner, `end ${window.fault.kind}`, () =>
        this.#end(window),
      );
    }
  }

  /** Ends every open window and forgets those to come; hosts that are down come up. */
  healAll(): void {
    this.#world.kernel.crash(this.#owner);
    for (const window of [...this.#open]) this.#end(window);
  }

  get openCount(): number {
    return this.#open.size;
  }

  #begin(window: FaultWindow): void {
    const { fault } = window;
    this.#open.add(window);
    if (!this.#strike(fault, window)) return;
    this.installed.set(fault.kind, (this.installed.get(fault.kind) ?? 0) + 1);
  }

  /** False where there is nothing to strike: the host is down already. */
  #strike(fault: Fault, window: FaultWindow): boolean {
    const { network } = this.#world;
    switch (fault.kind) {
      case 'kill':
        return this.#takeDown(this.#world.host(fault.host), null);
      case 'powerCut':
        return this.#takeDown(this.#world.host(fault.host), fault.weights);
      case 'powerCutInWrite':
        return this.#ifRunning(fault.host, (host) => {
          const strike = (): void => void this.#takeDown(host, fault.weights);
          const { among } = fault;
          if (among === undefined) return host.disk.crashAfter(fault.operation, strike);
          const path = new RegExp(among.path);
          host.disk.crashAfter(
            fault.operation,
            strike,
            (call) => call.op === among.op && path.test(call.path),
          );
        });
      case 'cut':
      case 'clog':
      case 'badLinks':
        this.#settleLinks();
        return true;
      case 'reset':
        network.resetBetween(fault.a, fault.b);
        return true;
      case 'silentBreak':
        network.breakSilently(fault.host);
        return true;
      case 'diskStall':
        this.#world.host(fault.host).disk.stall(window.untilUs - window.fromUs);
        return true;
      case 'syncError':
        this.#world.host(fault.host).disk.plan({
          op: 'datasync',
          effect: { kind: 'syncError', code: 'EIO', pages: 'dropped' },
        });
        return true;
      case 'writeError':
        this.#world.host(fault.host).disk.plan({
          op: 'writev',
          path: new RegExp(fault.path),
          effect: { kind: 'error', code: 'EIO', applied: fault.applied },
        });
        return true;
      case 'shortWrite':
        this.#world.host(fault.host).disk.plan({
          op: 'writev',
          effect: { kind: 'short', bytes: fault.bytes },
        });
        return true;
      case 'wallJump':
        return this.#ifRunning(fault.host, (host) => host.clock.jumpWall(fault.byMs));
      case 'pause':
      case 'slowDisk':
      case 'clockRate':
        this.#settleHost(fault.host);
        return this.#world.host(fault.host).isRunning;
    }
  }

  #ifRunning(name: string, act: (host: SimHost) => void): boolean {
    const host = this.#world.host(name);
    if (!host.isRunning) return false;
    act(host);
    return true;
  }

  #takeDown(host: SimHost, weights: CrashWeights | null): boolean {
    if (!host.isRunning) return false;
    if (weights === null) host.kill();
    else host.powerCut(randomCrash(weights));
    this.#hooks.onDown(host, weights === null ? 'kill' : 'powerCut');
    return true;
  }

  #end(window: FaultWindow): void {
    if (!this.#open.delete(window)) return;
    const { fault } = window;
    switch (fault.kind) {
      case 'kill':
      case 'powerCut':
      case 'powerCutInWrite': {
        const host = this.#world.host(fault.host);
        if (fault.kind === 'powerCutInWrite') host.disk.crashAfter(Number.POSITIVE_INFINITY);
        if (host.isRunning || this.#isHeldDown(fault.host)) return;
        this.#hooks.onUp(host);
        return this.#settleHost(fault.host);
      }
      case 'cut':
      case 'clog':
      case 'badLinks':
        return this.#settleLinks();
      case 'pause':
      case 'slowDisk':
      case 'clockRate':
        return this.#settleHost(fault.host);
      default:
        return;
    }
  }

  #isHeldDown(host: string): boolean {
    return this.#openFaults().some(
      (fault) => takesDown(fault.kind) && 'host' in fault && fault.host === host,
    );
  }

  #openFaults(): Fault[] {
    return [...this.#open].map(({ fault }) => fault);
  }

  /** Process, disk and clock of a host as the open windows want them. */
  #settleHost(name: string): void {
    const host = this.#world.host(name);
    let slowness = 1;
    let isPaused = false;
    let isFrozen = false;
    let rate: number | null = null;
    for (const fault of this.#openFaults()) {
      if (!('host' in fault) || fault.host !== name) continue;
      if (fault.kind === 'slowDisk') slowness = Math.max(slowness, fault.slowness);
      if (fault.kind === 'pause') {
        isPaused = true;
        isFrozen ||= fault.freeze;
      }
      if (fault.kind === 'clockRate') rate = fault.rate;
    }
    host.disk.slowness = slowness;
    if (!host.isRunning) return;
    this.#settleRate(host, rate);
    if (isFrozen) host.freeze();
    else if (isPaused) host.pause();
    else host.resume();
  }

  #settleRate(host: SimHost, rate: number | null): void {
    const usual = this.#rates.get(host.name);
    if (rate === null) {
      if (usual !== undefined) host.clock.setRate(usual);
      this.#rates.delete(host.name);
      return;
    }
    if (usual === undefined) this.#rates.set(host.name, host.clock.rate);
    host.clock.setRate(rate);
  }

  #settleLinks(): void {
    const { network } = this.#world;
    const wanted = new Map<string, LinkState>();
    const names = network.machineNames;
    for (const from of names) {
      for (const to of names) if (from !== to) wanted.set(`${from}>${to}`, 'up');
    }
    network.resetLinkOptions();
    for (const fault of this.#openFaults()) {
      if (fault.kind !== 'cut' && fault.kind !== 'clog' && fault.kind !== 'badLinks') continue;
      for (const [from, to] of fault.links) {
        const key = `${from}>${to}`;
        if (fault.kind === 'badLinks') network.setLink(from, to, fault.options);
        else if (fault.kind === 'cut') wanted.set(key, 'cut');
        else if (wanted.get(key) === 'up') wanted.set(key, 'clogged');
      }
    }
    for (const [key, state] of wanted) {
      const [from = '', to = ''] = key.split('>');
      if (network.link(from, to).state !== state) network.setLinkState(from, to, state);
    }
  }
}
