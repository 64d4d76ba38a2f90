// A cluster of key-value nodes on hosts in memory, and clients that speak RESP to them without sockets.

import { FakeCluster, ManualClock, settle } from '../../sharding/test/fake-cluster.ts';
import { type KvCluster, type KvNode, type KvOptions, openKv } from '../src/index.ts';
import type { ClientSocket, Session } from '../src/session.ts';

export class MemorySocket implements ClientSocket {
  writableLength = 0;
  readonly chunks: Buffer[] = [];
  isPaused = false;
  isEnded = false;
  isDestroyed = false;
  /** Keeps what is written "unsent". */
  isStuck = false;

  write(bytes: Uint8Array): boolean {
    this.chunks.push(Buffer.from(bytes));
    if (this.isStuck) this.writableLength += bytes.length;
    return !this.isStuck;
  }
  pause(): void {
    this.isPaused = true;
  }
  resume(): void {
    this.isPaused = false;
  }
  end(): void {
    this.isEnded = true;
  }
  destroy(): void {
    this.isDestroyed = true;
  }

  /** Everything written since the last call, as latin-1 text. */
  take(): string {
    return Buffer.concat(this.chunks.splice(0)).toString('latin1');
  }
}

export function encode(...args: (string | Uint8Array)[]): Buffer {
  const parts: Buffer[] = [Buffer.from(`*${args.length}\r\n`)];
  for (const arg of args) {
    const bytes = Buffer.from(arg as string, 'latin1');
    parts.push(Buffer.from(`$${bytes.length}\r\n`), bytes, Buffer.from('\r\n'));
  }
  return Buffer.concat(parts);
}

export class TestClient {
  readonly socket: MemorySocket = new MemorySocket();
  readonly session: Session;
  readonly #node: KvNode;

  constructor(node: KvNode) {
    this.#node = node;
    this.session = node.server.attach(this.socket, 'test:1');
  }

  send(...args: string[]): void {
    this.session.onData(encode(...args));
  }

  /** Sends one command and answers the bytes that have come back once everything has settled. */
  async call(...args: string[]): Promise<string> {
    this.send(...args);
    await settle();
    return this.socket.take();
  }

  /** A command given as a line of words; the reply with `\r\n` shown as `|`. */
  async line(text: string): Promise<string> {
    this.session.onData(Buffer.from(`${text}\r\n`, 'latin1'));
    await settle();
    return this.socket.take().replaceAll('\r\n', '|');
  }

  close(): void {
    this.#node.server.detach(this.session);
  }
}

export interface TestCluster {
  readonly clock: ManualClock;
  readonly fake: FakeCluster;
  readonly nodes: readonly KvNode[];
  /** The node with an id. */
  node(id: number): KvNode;
  client(id: number): TestClient;
  /** Makes one host lead every group. */
  leadAll(id: number): void;
  close(): Promise<void>;
}

export function clusterConfig(groups: number): KvCluster {
  const hosts = [1, 2, 3].map((id) => ({
    id,
    resp: `127.0.0.1:${7000 + id}`,
    peer: `127.0.0.1:${17_000 + id}`,
  }));
  return { clusterId: 'test-cluster', hosts, groups };
}

export async function startCluster(options: KvOptions = {}, groups = 3): Promise<TestCluster> {
  const clock = new ManualClock();
  const fake = new FakeCluster(clock, [1, 2, 3]);
  const cluster = clusterConfig(groups);
  const opening = cluster.hosts.map(({ id }) =>
    openKv({ host: fake.host(id), cluster, listen: '127.0.0.1:0', options }),
  );
  const nodes = await Promise.all(opening);
  await clock.advance(1_000);
  const node = (id: number): KvNode => nodes[id - 1] as KvNode;
  return {
    clock,
    fake,
    nodes,
    node,
    client: (id) => new TestClient(node(id)),
    leadAll: (id) => {
      for (let groupId = 2; groupId < 2 + groups; groupId++) fake.setLeader(groupId, id);
    },
    close: async () => {
      await Promise.all(nodes.map((each) => each.close()));
    },
  };
}
