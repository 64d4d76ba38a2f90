// The client against servers that answer as they are told: what it may send again, and what it must not.

import { createServer, type Server, type Socket } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { RespClient, slotOf } from '../src/resp-client.ts';

type Answer = (words: readonly string[], socket: Socket) => string | null;

const servers: Server[] = [];
const sockets = new Set<Socket>();
let client: RespClient | null = null;

afterEach(async () => {
  client?.close();
  for (const socket of sockets) socket.destroy();
  await Promise.all(servers.splice(0).map((server) => new Promise((done) => server.close(done))));
});

/** A server that answers each command but CLUSTER with what `answer` says; null = not at all. */
async function serve(answer: Answer): Promise<string> {
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined).on('close', () => sockets.delete(socket));
    let text = '';
    socket.on('data', (chunk: Buffer) => {
      text += chunk.toString('latin1');
      for (;;) {
        const taken = takeCommand(text);
        if (taken === null) return;
        text = taken.rest;
        if (taken.words[0] === 'CLUSTER') socket.write('*0\r\n');
        else socket.write(answer(taken.words, socket) ?? '');
      }
    });
  });
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  if (typeof address !== 'object' || address === null) throw new Error('no address');
  return `127.0.0.1:${address.port}`;
}

function takeCommand(text: string): { words: string[]; rest: string } | null {
  const head = /^\*(\d+)\r\n/.exec(text);
  if (head === null) return null;
  let at = head[0].length;
  const words: string[] = [];
  for (let i = 0; i < Number(head[1]); i++) {
    const length = /^\$(\d+)\r\n/.exec(text.slice(at));
    if (length === null) return null;
    at += length[0].length;
    const end = at + Number(length[1]);
    if (text.length < end + 2) return null;
    words.push(text.slice(at, end));
    at = end + 2;
  }
  return { words, rest: text.slice(at) };
}

function connectTo(...seeds: string[]): RespClient {
  client = new RespClient({ seeds, callMs: 500, retryMs: 3_000 });
  return client;
}

describe('the cluster client', () => {
  it('keeps replies in order in a pipeline', async () => {
    const each = connectTo(await serve(([, key]) => `$${key?.length}\r\n${key}\r\n`));
    const keys = Array.from({ length: 500 }, (_, i) => `key${i}`);
    const outcomes = await Promise.all(keys.map((key) => each.read(key, ['GET', key])));
    expect(outcomes).toEqual(keys.map((reply) => ({ kind: 'ok', reply })));
  });

  it('follows a redirection and remembers it', async () => {
    const asked: string[] = [];
    const right = await serve(() => (asked.push('right'), '+OK\r\n'));
    const wrong = await serve(([, key = '']) => {
      asked.push('wrong');
      return `-MOVED ${slotOf(key)} ${right}\r\n`;
    });
    const each = connectTo(wrong);
    for (let i = 0; i < 3; i++) {
      expect(await each.write('k', ['SET', 'k', 'v'])).toEqual({ kind: 'ok', reply: 'OK' });
    }
    expect(asked).toEqual(['wrong', 'right', 'right', 'right']);
    expect(each.counters.movedFollowed).toBe(1);
  });

  it('sends again what certainly did not happen', async () => {
    const errors = ['-TRYAGAIN later\r\n', '-CLUSTERDOWN no leader\r\n'];
    const each = connectTo(await serve(() => errors.shift() ?? '+OK\r\n'));
    expect((await each.write('k', ['SET', 'k', 'v'])).kind).toBe('ok');
    expect(each.counters.retries).toBe(2);
  });

  it('never sends a write again whose outcome is unknown: no reply, a broken connection, the word of the host', async () => {
    let sent = 0;
    const silent = connectTo(await serve(() => (sent++, null)));
    expect((await silent.write('k', ['SET', 'k', 'v'])).kind).toBe('unknown');
    silent.close();
    const broken = connectTo(await serve((_words, socket) => (sent++, socket.destroy(), null)));
    expect((await broken.write('k', ['SET', 'k', 'v'])).kind).toBe('unknown');
    broken.close();
    const honest = connectTo(await serve(() => (sent++, '-UNKNOWN who knows\r\n')));
    expect((await honest.write('k', ['SET', 'k', 'v'])).kind).toBe('unknown');
    expect(sent).toBe(3);
  });

  it('sends a read again after a broken connection', async () => {
    let breaks = 2;
    const each = connectTo(
      await serve((_words, socket) => {
        if (breaks-- <= 0) return '$1\r\nv\r\n';
        socket.destroy();
        return null;
      }),
    );
    expect(await each.read('k', ['GET', 'k'])).toEqual({ kind: 'ok', reply: 'v' });
  });

  it('asks another host where one knows no leader: it may be the one that is cut off', async () => {
    const cutOff = await serve(() => '-CLUSTERDOWN no leader\r\n');
    const each = connectTo(cutOff, await serve(() => '+OK\r\n'));
    for (const key of ['a', 'b', 'c']) {
      expect(await each.write(key, ['SET', key, 'v'])).toEqual({ kind: 'ok', reply: 'OK' });
    }
  });

  it('goes to another host where one refuses connections', async () => {
    const gone = await serve(() => null);
    await new Promise((done) => servers.pop()?.close(done));
    const each = connectTo(gone, await serve(() => '+OK\r\n'));
    for (let i = 0; i < 20; i++) {
      expect((await each.write(`k${i}`, ['SET', `k${i}`, 'v'])).kind).toBe('ok');
    }
  });

  it('reports an error that no repetition can mend as failed', async () => {
    const each = connectTo(await serve(() => '-ERR value is not an integer\r\n'));
    expect(await each.write('k', ['INCR', 'k'])).toEqual({
      kind: 'failed',
      reason: 'ERR value is not an integer',
    });
  });
});
