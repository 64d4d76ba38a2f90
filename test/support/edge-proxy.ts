// A TCP proxy for one edge between two hosts: `dialler` connects to it in place of `listener`. The two directions are
// flows of their own, each of which can be held or delayed; the whole edge can be cut.
//
//   held      not a byte passes, and no end of a connection either, as if packets were lost on the way; the senders' buffers
//             fill up. What was held arrives, late and in order, once the flow is released.
//   delayed   every byte arrives so much later.
//   cut       connections are reset, new ones too, until healed.
//
// Connections are made to the listener at once, so that what is tried here is a silent network, not a closed port: that is
// what cut() is for.

import { connect, createServer, type Server, type Socket } from 'node:net';

/** One direction of one connection. */
class Pipe {
  readonly #source: Socket;
  readonly #sink: Socket;
  readonly #flow: Flow;
  /** Chunks on their way, with the time at which each may arrive. */
  #delayed: { readonly dueMs: number; readonly chunk: Buffer }[] = [];
  #timer: NodeJS.Timeout | null = null;
  #isEnded = false;

  constructor(source: Socket, sink: Socket, flow: Flow) {
    this.#source = source;
    this.#sink = sink;
    this.#flow = flow;
    flow.pipes.add(this);
    source.on('data', (chunk: Buffer) => this.#take(chunk));
    sink.on('drain', () => this.update());
    source.on('close', () => {
      this.#isEnded = true;
      this.update();
    });
    sink.on('close', () => {
      flow.pipes.delete(this);
      if (this.#timer !== null) clearTimeout(this.#timer);
    });
    this.update();
  }

  /** The flow, or the room in the sink, has changed. */
  update(): void {
    const { isHeld } = this.#flow;
    if (!isHeld) this.#deliver();
    if (isHeld || this.#sink.writableNeedDrain) this.#source.pause();
    else this.#source.resume();
    if (this.#isEnded && !isHeld && this.#delayed.length === 0) this.#sink.end();
  }

  #take(chunk: Buffer): void {
    this.#delayed.push({ dueMs: performance.now() + this.#flow.delayMs, chunk });
    this.update();
  }

  #deliver(): void {
    while (this.#delayed.length > 0) {
      const [first] = this.#delayed;
      if (first === undefined) return;
      const waitMs = first.dueMs - performance.now();
      if (waitMs > 0) {
        this.#timer ??= setTimeout(() => {
          this.#timer = null;
          this.update();
        }, waitMs);
        return;
      }
      this.#delayed.shift();
      this.#flow.bytes += first.chunk.length;
      this.#sink.write(first.chunk);
    }
  }
}

/** One direction of an edge. */
export class Flow {
  readonly pipes: Set<Pipe> = new Set();
  /** Bytes that arrived on the other side. */
  bytes = 0;
  #isHeld = false;
  #delayMs = 0;

  get isHeld(): boolean {
    return this.#isHeld;
  }

  get delayMs(): number {
    return this.#delayMs;
  }

  hold(): void {
    this.#isHeld = true;
    this.#update();
  }

  release(): void {
    this.#isHeld = false;
    this.#update();
  }

  delay(ms: number): void {
    this.#delayMs = ms;
  }

  #update(): void {
    for (const pipe of this.pipes) pipe.update();
  }
}

export class EdgeProxy {
  /** What the dialler says, and what the listener says. */
  readonly forth: Flow = new Flow();
  readonly back: Flow = new Flow();
  readonly #server: Server;
  readonly #target: number;
  readonly #sockets: Set<Socket> = new Set();
  #isCut = false;

  private constructor(server: Server, target: number) {
    this.#server = server;
    this.#target = target;
  }

  /** To the listener's port on loopback. */
  static open(target: number): Promise<EdgeProxy> {
    return new Promise((resolve, reject) => {
      const server = createServer();
      const proxy = new EdgeProxy(server, target);
      server.on('connection', (socket) => proxy.#accept(socket));
      server.once('error', reject);
      server.listen(0, '127.0.0.1', () => resolve(proxy));
    });
  }

  get address(): string {
    const bound = this.#server.address();
    if (bound === null || typeof bound === 'string') throw new Error('the proxy is closed');
    return `127.0.0.1:${bound.port}`;
  }

  cut(): void {
    this.#isCut = true;
    for (const socket of this.#sockets) socket.resetAndDestroy();
  }

  /** Ends every fault of this edge. */
  heal(): void {
    this.#isCut = false;
    for (const flow of [this.forth, this.back]) {
      flow.delay(0);
      flow.release();
    }
  }

  close(): void {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
  }

  #accept(near: Socket): void {
    if (this.#isCut) {
      near.resetAndDestroy();
      return;
    }
    const far = connect({ port: this.#target, host: '127.0.0.1' });
    for (const socket of [near, far]) {
      socket.setNoDelay(true);
      socket.on('error', () => undefined); // a close follows
      this.#sockets.add(socket);
      socket.once('close', () => this.#sockets.delete(socket));
    }
    new Pipe(near, far, this.forth);
    new Pipe(far, near, this.back);
  }
}
