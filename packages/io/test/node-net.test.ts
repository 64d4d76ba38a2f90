import * as net from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { NodeNet, parseAddress } from '../src/node-net.ts';
import type { Conn, ConnHandlers, IoError, Listener } from '../src/world.ts';
import { until } from './until.ts';

const nodeNet = new NodeNet();
const conns: Conn[] = [];
const listeners: Listener[] = [];

/** One end of a connection, with everything it was told. */
class End implements ConnHandlers {
  conn!: Conn;
  received = '';
  opens = 0;
  drains = 0;
  closes: (IoError | null)[] = [];

  onOpen(): void {
    this.opens += 1;
  }
  onData(chunk: Uint8Array): void {
    expect(this.closes).toEqual([]);
    this.received += Buffer.from(chunk).toString('latin1');
  }
  onDrain(): void {
    this.drains += 1;
  }
  onClose(error: IoError | null): void {
    this.closes.push(error);
  }
}

function listen(accept: (conn: Conn) => ConnHandlers | null): Promise<Listener> {
  return new Promise((resolve, reject) => {
    nodeNet.listen('127.0.0.1:0', accept, (error, listener) => {
      if (error !== null) return reject(error);
      listeners.push(listener);
      resolve(listener);
    });
  });
}

function dial(address: string): End {
  const end = new End();
  end.conn = nodeNet.dial(address, end);
  conns.push(end.conn);
  return end;
}

async function connected(): Promise<[End, End]> {
  const there = new End();
  const { address } = await listen((conn) => {
    there.conn = conn;
    conns.push(conn);
    return there;
  });
  const here = dial(address);
  await until('both ends stand', () => here.opens === 1 && there.conn !== undefined);
  return [here, there];
}

afterEach(async () => {
  for (const conn of conns.splice(0)) conn.destroy();
  for (const listener of listeners.splice(0)) {
    await new Promise<void>((resolve) => listener.close(resolve));
  }
});

describe('NodeNet', () => {
  it('carries the buffers of a write back to back, and answers written after the call', async () => {
    const [here, there] = await connected();
    const verdicts: unknown[] = [];
    const written = (error: IoError | null): void => void verdicts.push(error);
    here.conn.write([Buffer.from('a'), Buffer.from('bc'), Buffer.from('def')], written);
    here.conn.write([Buffer.from('g')], written);
    here.conn.write([], written);
    expect(verdicts).toEqual([]);
    await until('the bytes', () => there.received === 'abcdefg' && verdicts.length === 3);
    expect(verdicts).toEqual([null, null, null]);
    expect(here.conn.pendingBytes).toBe(0);
    expect([here.opens, there.opens]).toEqual([1, 0]);
  });

  it('answers false over its mark and tells the drain', async () => {
    const [here, there] = await connected();
    there.conn.pauseReading();
    let isBelow = true;
    for (let i = 0; i < 64 && isBelow; i++) isBelow = here.conn.write([Buffer.alloc(2 ** 20)]);
    expect(isBelow).toBe(false);
    expect(here.conn.pendingBytes).toBeGreaterThan(0);
    there.conn.resumeReading();
    await until('the drain', () => here.drains > 0);
    expect(here.conn.write([Buffer.from('x')])).toBe(true);
  });

  it('sends what is queued before end() closes, and both ends hear of it once, without an error', async () => {
    const [here, there] = await connected();
    const bytes = 8 * 2 ** 20;
    here.conn.write([Buffer.alloc(bytes, 'x')]);
    here.conn.end();
    await until('both closed', () => here.closes.length > 0 && there.closes.length > 0);
    expect(there.received.length).toBe(bytes);
    expect([here.closes, there.closes]).toEqual([[null], [null]]);
  });

  it('answers each write once, with an error, where the connection was destroyed under it', async () => {
    const [here, there] = await connected();
    there.conn.pauseReading();
    const verdicts: (IoError | null)[][] = [];
    const count = 80;
    for (let i = 0; i < count; i++) {
      const own: (IoError | null)[] = [];
      verdicts.push(own);
      const half = Buffer.alloc(2 ** 18);
      here.conn.write([half, half], (error) => own.push(error));
    }
    here.conn.destroy();
    const late: (IoError | null)[] = [];
    here.conn.write([Buffer.from('late')], (error) => late.push(error));
    expect(late).toEqual([]);
    await until('every answer', () => [...verdicts, late].every((own) => own.length > 0));
    await until('the close', () => here.closes.length > 0);
    const lost = verdicts.filter((own) => own[0] !== null).length;
    expect(lost).toBeGreaterThan(0);
    expect(verdicts.every((own) => own.length === 1)).toBe(true);
    expect(late[0]).toBeInstanceOf(Error);
    expect(here.closes.length).toBe(1);
  });

  it('answers a write after end() with an error and closes in good order all the same', async () => {
    const [here, there] = await connected();
    here.conn.write([Buffer.from('last')]);
    here.conn.end();
    let verdict: IoError | null | undefined;
    here.conn.write([Buffer.from('too late')], (error) => {
      verdict = error;
    });
    expect(verdict).toBeUndefined();
    await until('the answer and the close', () => verdict !== undefined && here.closes.length > 0);
    expect(verdict).toBeInstanceOf(Error);
    expect([here.closes, there.received]).toEqual([[null], 'last']);
  });

  it('reports a dial that fails as onClose, after the call: no listener, no address, no name', async () => {
    const { address } = await listen(() => null);
    await new Promise<void>((resolve) => (listeners.pop() as Listener).close(resolve));
    const dials = [address, 'nonsense', '127.0.0.1:99999', 'a host:1', '[:::]:5'].map(dial);
    expect(dials.map((end) => end.closes.length)).toEqual([0, 0, 0, 0, 0]);
    const verdicts: unknown[] = [];
    for (const end of dials) end.conn.write([Buffer.from('x')], (error) => verdicts.push(error));
    await until('all closed', () => dials.every((end) => end.closes.length === 1));
    await until('all writes answered', () => verdicts.length === dials.length);
    expect(dials.every((end) => end.closes[0] instanceof Error && end.opens === 0)).toBe(true);
    expect(verdicts.every((verdict) => verdict instanceof Error)).toBe(true);
    expect(dials[0]?.closes[0]?.code).toBe('ECONNREFUSED');
  });

  it('a refused connection is closed and its errors reach nobody', async () => {
    let refused = 0;
    const { address } = await listen(() => {
      refused += 1;
      return null;
    });
    const ends = Array.from({ length: 20 }, () => {
      const end = dial(address);
      end.conn.write([Buffer.alloc(100_000)]);
      return end;
    });
    await until('all closed', () => ends.every((end) => end.closes.length === 1));
    expect(refused).toBe(20);
  });

  it('hands on a reset with its code', async () => {
    const there = new End();
    const { address } = await listen(() => there);
    const { port } = parseAddress(address);
    const socket = net.connect({ host: '127.0.0.1', port }, () => socket.resetAndDestroy());
    await until('the close', () => there.closes.length > 0);
    expect(there.closes.map((error) => error?.code)).toEqual(['ECONNRESET']);
  });

  it('says why an address cannot be listened on, after the call', async () => {
    const { address } = await listen(() => null);
    let code: string | undefined;
    nodeNet.listen(
      address,
      () => null,
      (error) => {
        code = error?.code ?? 'none';
      },
    );
    expect(code).toBeUndefined();
    await until('the answer', () => code !== undefined);
    expect(code).toBe('EADDRINUSE');
  });
});

describe('parseAddress', () => {
  it('splits host and port, of version 6 too, and refuses everything else', () => {
    expect(parseAddress('example.org:7000')).toEqual({ host: 'example.org', port: 7000 });
    expect(parseAddress('[::1]:0')).toEqual({ host: '::1', port: 0 });
    for (const address of [
      '',
      ':1',
      'host',
      'host:',
      '::1:80',
      'h:65536',
      'h:-1',
      'h:1x',
      'a b:1',
    ]) {
      expect(() => parseAddress(address)).toThrow(RangeError);
    }
  });
});
