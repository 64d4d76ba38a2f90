// Two machines with a connection between them, and everything their handlers were told.

import type { Conn, ConnHandlers } from '@flotilla/io';
import { type SimHost, SimWorld, type SimWorldOptions } from '@flotilla/testkit';

/** Handlers that remember. */
export class Recorder implements ConnHandlers {
  readonly chunks: Uint8Array[] = [];
  readonly events: string[] = [];
  conn: Conn | null = null;

  onOpen(): void {
    this.events.push('open');
  }
  onData(chunk: Uint8Array): void {
    this.chunks.push(chunk);
  }
  onDrain(): void {
    this.events.push('drain');
  }
  onClose(error: (Error & { code?: string | undefined }) | null): void {
    this.events.push(error === null ? 'close' : `close ${error.code}`);
  }

  get bytes(): number[] {
    return this.chunks.flatMap((chunk) => [...chunk]);
  }
}

export interface Pair {
  readonly world: SimWorld;
  readonly a: SimHost;
  readonly b: SimHost;
  /** At the dialling end on `a`, and the accepted end on `b`. */
  readonly dialled: Recorder;
  readonly accepted: Recorder;
  readonly conn: Conn;
  /** The accepted connection. */
  readonly served: () => Conn;
}

export const serverAddress = 'b:7000';

/** `b` listens, `a` has dialled; nothing has run after the dial. */
export function pair(options: Partial<SimWorldOptions> = {}): Pair {
  const world = new SimWorld({ seed: 1, ...options });
  const a = world.addHost('a');
  const b = world.addHost('b');
  const dialled = new Recorder();
  const accepted = new Recorder();
  const serve = b.start();
  serve.net.listen(
    serverAddress,
    (conn) => {
      accepted.conn = conn;
      return accepted;
    },
    (error) => {
      if (error !== null) throw error;
    },
  );
  const conn = a.start().net.dial(serverAddress, dialled);
  const served = (): Conn => {
    if (accepted.conn === null) throw new Error('nothing was accepted');
    return accepted.conn;
  };
  return { world, a, b, dialled, accepted, conn, served };
}

/** As pair(), with the connection standing. */
export function openPair(options: Partial<SimWorldOptions> = {}): Pair {
  const made = pair(options);
  made.world.kernel.runUntil(() => made.dialled.events.length > 0 && made.accepted.conn !== null);
  return made;
}
