import { describe, expect, it } from 'vitest';
import { hostOf, Lobby, type Lodger } from '../src/lobby.ts';

function lodgerOf(address: string, evicted: string[], name: string): Lodger {
  return { address, evict: () => void evicted.push(name) };
}

describe('Lobby', () => {
  it('shows out the oldest of an address that is at its bound, and nobody else', () => {
    const evicted: string[] = [];
    const lobby = new Lobby(10, 2);
    lobby.enter(lodgerOf('b', evicted, 'b1'));
    for (const name of ['a1', 'a2', 'a3', 'a4']) lobby.enter(lodgerOf('a', evicted, name));
    expect(evicted).toEqual(['a1', 'a2']);
    expect([lobby.size, lobby.addresses]).toEqual([3, 2]);
  });

  it('shows out the oldest of all when it is full, and forgets addresses that nobody has', () => {
    const evicted: string[] = [];
    const lobby = new Lobby(4, 2);
    for (let i = 0; i < 10_000; i++) lobby.enter(lodgerOf(`10.0.0.${i}`, evicted, `${i}`));
    expect(evicted.length).toBe(9996);
    expect(evicted.slice(0, 3)).toEqual(['0', '1', '2']);
    expect([lobby.size, lobby.addresses]).toEqual([4, 4]);
  });

  it('counts a lodger once, and not after it left', () => {
    const evicted: string[] = [];
    const lobby = new Lobby(4, 1);
    const lodger = lodgerOf('a', evicted, 'a1');
    lobby.enter(lodger);
    lobby.enter(lodger);
    lobby.leave(lodger);
    lobby.leave(lodger);
    lobby.enter(lodgerOf('a', evicted, 'a2'));
    expect(evicted).toEqual([]);
    lobby.evictAll();
    expect([evicted, lobby.size, lobby.addresses]).toEqual([['a2'], 0, 0]);
  });

  it('counts by the host of host:port, of version 6 too', () => {
    expect(['1.2.3.4:5', '::1:80', '?'].map(hostOf)).toEqual(['1.2.3.4', '::1', '?']);
  });
});
