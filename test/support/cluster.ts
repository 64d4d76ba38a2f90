// A cluster of real host processes for one test file, on free ports and a temporary directory of its own, made and run
// through the command line only.

import { mkdtempSync, rmSync } from 'node:fs';
import { readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { findBasePort } from '../../tools/flotilla/src/free-ports.ts';
import { RespClient } from '../../tools/flotilla/src/resp-client.ts';
import { type ClusterStatus, fetchStatus } from '../../tools/flotilla/src/status.ts';
import { eventually, within } from './eventually.ts';
import { mainPath, type ProcessEnd, RunningProcess, runMain } from './processes.ts';

export interface ClusterShape {
  readonly hosts?: number;
  readonly groups?: number;
  readonly segmentBytes?: number;
  /** An existing folder for its data; its maker removes it. */
  readonly directory?: string;
}

/** A command to start hosts under, such as strace. */
export type Wrapper = (id: number) => readonly string[];

export class TestCluster {
  readonly ids: readonly number[];
  readonly directory: string;
  readonly data: string;
  readonly port: number;
  readonly #running: Map<number, RunningProcess> = new Map();
  readonly #groups: number;
  #wrapper: Wrapper = () => [];
  /** Folders of hosts that have one of their own, instead of the one that all share. */
  readonly #folders: Map<number, string> = new Map();

  private constructor(directory: string, port: number, hosts: number, groups: number) {
    this.directory = directory;
    this.data = join(directory, 'data');
    this.port = port;
    this.ids = Array.from({ length: hosts }, (_, i) => i + 1);
    this.#groups = groups;
  }

  /** Made, not started. */
  static async make(shape: ClusterShape = {}): Promise<TestCluster> {
    const { hosts = 3, groups = 8, segmentBytes = 16 << 20 } = shape;
    const directory = shape.directory ?? mkdtempSync(join(tmpdir(), 'flotilla-test-'));
    const cluster = new TestCluster(directory, await findBasePort(hosts), hosts, groups);
    const words = { data: cluster.data, port: cluster.port, hosts, groups };
    const args = Object.entries(words).flatMap(([name, value]) => [`--${name}`, String(value)]);
    const init = await runMain(['init', ...args, '--segment-bytes', String(segmentBytes)]);
    if (init.end?.code !== 0) throw new Error(`init failed: ${init.stderr}`);
    return cluster;
  }

  /** Made, started, serving all slots. */
  static async start(shape: ClusterShape = {}): Promise<TestCluster> {
    const cluster = await TestCluster.make(shape);
    await cluster.startAll();
    await cluster.whenServed();
    return cluster;
  }

  get addresses(): string[] {
    return this.ids.map((id) => this.address(id));
  }

  address(id: number): string {
    return `127.0.0.1:${this.port + id - 1}`;
  }

  peerAddress(id: number): string {
    return `127.0.0.1:${this.port + 10_000 + id - 1}`;
  }

  walDirectory(id: number): string {
    return join(this.#folderOf(id), `host-${id}`, 'wal');
  }

  /** From its next start on, the host has this folder, with the cluster.json that lies there. */
  moveHost(id: number, folder: string): void {
    this.#folders.set(id, folder);
  }

  #folderOf(id: number): string {
    return this.#folders.get(id) ?? this.data;
  }

  wrapHosts(wrapper: Wrapper): void {
    this.#wrapper = wrapper;
  }

  client(options: { readonly retryMs?: number; readonly callMs?: number } = {}): RespClient {
    return new RespClient({ seeds: this.addresses, ...options });
  }

  /** Changes cluster.json as an operator would. */
  edit(change: (file: Record<string, unknown>) => void): void {
    const path = join(this.data, 'cluster.json');
    const file = JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>;
    change(file);
    writeFileSync(path, JSON.stringify(file));
  }

  process(id: number): RunningProcess {
    const running = this.#running.get(id);
    if (running === undefined) throw new Error(`host ${id} was not started`);
    return running;
  }

  /** Starts a host whatever becomes of it. */
  spawn(id: number): RunningProcess {
    // --parent: a host under strace outlives a strace that was killed, but not its standard input.
    const data = this.#folderOf(id);
    const words = [mainPath, 'host', '--data', data, '--id', String(id), '--json', '--parent'];
    const [command = process.execPath, ...args] = [
      ...this.#wrapper(id),
      process.execPath,
      ...words,
    ];
    return new RunningProcess(command, args);
  }

  /** Starts a host and waits until it says that it is ready; answers that event. */
  async startHost(id: number): Promise<Readonly<Record<string, unknown>>> {
    const running = this.spawn(id);
    this.#running.set(id, running);
    return running.event('ready');
  }

  async startAll(): Promise<void> {
    await Promise.all(this.ids.map((id) => this.startHost(id)));
  }

  /** kill -9. */
  async kill(id: number): Promise<void> {
    const running = this.process(id);
    running.child.kill('SIGKILL');
    await running.ended;
  }

  /** SIGTERM to the process that said `ready`; answers how it ended. */
  async stop(id: number): Promise<ProcessEnd> {
    const running = this.process(id);
    const { pid } = await running.event('ready');
    if (running.end === null) process.kill(pid as number, 'SIGTERM');
    return within(running.ended, { what: `host ${id} stops` });
  }

  stopAll(): Promise<ProcessEnd[]> {
    return Promise.all(this.ids.map((id) => this.stop(id)));
  }

  /** Each group, the map's included, is led by a host that says so itself. */
  async whenServed(deadlineMs = 60_000): Promise<ClusterStatus> {
    return eventually(
      async () => {
        for (const address of this.addresses) {
          const status = await fetchStatus(address);
          const led = status?.groups.filter(({ leader }) => leader !== 0).length ?? 0;
          if (status !== null && led === this.#groups + 1) return status;
        }
        return null;
      },
      { what: 'all slots are served', deadlineMs },
    );
  }

  /** Ends the hosts the hard way and removes the data. */
  async dispose(): Promise<void> {
    for (const { child } of this.#running.values()) child.kill('SIGKILL');
    await Promise.all([...this.#running.values()].map(({ ended }) => ended));
    rmSync(this.directory, { recursive: true, force: true });
  }
}
