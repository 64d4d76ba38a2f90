// A cluster of real host processes that reach each other only through proxies, one for each ordered pair of hosts, so that
// any direction between any two of them can be held, delayed or cut. Every host has a folder and a cluster.json of its
// own, as on machines of its own; in host i's file the others are dialled where i's proxies stand. Clients reach every
// host at any time, also one that is cut off from the others: what it then says must still be right.

import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type ClusterShape, TestCluster } from './cluster.ts';
import { EdgeProxy, type Flow } from './edge-proxy.ts';

interface FileHost {
  readonly id: number;
  readonly peer: { listen: string; dial: string };
}

export class ProxiedCluster {
  readonly cluster: TestCluster;
  /** By dialling and listening host. */
  readonly #proxies = new Map<string, EdgeProxy>();

  private constructor(cluster: TestCluster) {
    this.cluster = cluster;
  }

  static async start(shape: ClusterShape = {}): Promise<ProxiedCluster> {
    const proxied = new ProxiedCluster(await TestCluster.make(shape));
    const { cluster } = proxied;
    for (const id of cluster.ids) await proxied.#move(id);
    await cluster.startAll();
    await cluster.whenServed();
    return proxied;
  }

  /** Nothing that `id` says reaches the others. */
  holdFrom(id: number): void {
    for (const { says } of this.#edgesOf(id)) says.hold();
  }

  /** Nothing that the others say reaches `id`. */
  holdTo(id: number): void {
    for (const { hears } of this.#edgesOf(id)) hears.hold();
  }

  /** Connections between `id` and the others are reset, and so is each new one. */
  cut(id: number): void {
    for (const { edge } of this.#edgesOf(id)) edge.cut();
  }

  heal(): void {
    for (const proxy of this.#proxies.values()) proxy.heal();
  }

  /** Bytes that have passed from `id` to the others, and from them to it. */
  passed(id: number): { readonly from: number; readonly to: number } {
    const edges = this.#edgesOf(id);
    return {
      from: edges.reduce((sum, { says }) => sum + says.bytes, 0),
      to: edges.reduce((sum, { hears }) => sum + hears.bytes, 0),
    };
  }

  async dispose(): Promise<void> {
    this.heal();
    await this.cluster.dispose();
    for (const proxy of this.#proxies.values()) proxy.close();
  }

  /** Gives a host a folder of its own whose cluster.json leads through its proxies. */
  async #move(id: number): Promise<void> {
    const { cluster } = this;
    const folder = join(cluster.directory, `machine-${id}`);
    mkdirSync(folder, { mode: 0o700 });
    const file = JSON.parse(readFileSync(join(cluster.data, 'cluster.json'), 'utf8')) as {
      readonly hosts: readonly FileHost[];
    };
    for (const other of file.hosts) {
      if (other.id === id) continue;
      const port = Number(other.peer.listen.split(':')[1]);
      const proxy = await EdgeProxy.open(port);
      this.#proxies.set(`${id}-${other.id}`, proxy);
      other.peer.dial = proxy.address;
    }
    rmSync(join(folder, `host-${id}`), { recursive: true, force: true });
    renameSync(join(cluster.data, `host-${id}`), join(folder, `host-${id}`));
    writeFileSync(join(folder, 'cluster.json'), JSON.stringify(file), { mode: 0o600 });
    cluster.moveHost(id, folder);
  }

  /** Every edge that `id` is an end of, whoever dials. */
  #edgesOf(id: number): { readonly edge: EdgeProxy; readonly says: Flow; readonly hears: Flow }[] {
    return [...this.#proxies].flatMap(([name, edge]) => {
      const [dialler, listener] = name.split('-').map(Number);
      if (dialler === id) return [{ edge, says: edge.forth, hears: edge.back }];
      if (listener === id) return [{ edge, says: edge.back, hears: edge.forth }];
      return [];
    });
  }
}
