// The connections that stand but belong to no lane: accepted ones that have not proven who they are, and ones that were
// told why they are refused and are given a moment to read it. Their number is bounded, in all and for each address, and
// it is always the oldest that makes room: a newcomer that means it needs milliseconds, one that holds its place does not.

export interface Lodger {
  /** For the bound per address. */
  readonly address: string;
  /** Closes at once; leave() follows. */
  evict(): void;
}

export class Lobby {
  readonly #max: number;
  readonly #perAddressMax: number;
  /** In the order of arrival. */
  readonly #lodgers: Set<Lodger> = new Set();
  readonly #byAddress: Map<string, number> = new Map();

  constructor(max: number, perAddressMax: number) {
    this.#max = max;
    this.#perAddressMax = perAddressMax;
  }

  get size(): number {
    return this.#lodgers.size;
  }

  /** Addresses that are counted now: as many as have a lodger. */
  get addresses(): number {
    return this.#byAddress.size;
  }

  enter(lodger: Lodger): void {
    if (this.#lodgers.has(lodger)) return;
    if (this.#countOf(lodger.address) >= this.#perAddressMax) {
      for (const other of this.#lodgers) {
        if (other.address === lodger.address) {
          this.#evict(other);
          break;
        }
      }
    } else if (this.#lodgers.size >= this.#max) {
      for (const oldest of this.#lodgers) {
        this.#evict(oldest);
        break;
      }
    }
    this.#lodgers.add(lodger);
    this.#byAddress.set(lodger.address, this.#countOf(lodger.address) + 1);
  }

  leave(lodger: Lodger): void {
    if (!this.#lodgers.delete(lodger)) return;
    const count = this.#countOf(lodger.address) - 1;
    if (count === 0) this.#byAddress.delete(lodger.address);
    else this.#byAddress.set(lodger.address, count);
  }

  evictAll(): void {
    for (const lodger of [...this.#lodgers]) this.#evict(lodger);
  }

  #evict(lodger: Lodger): void {
    this.leave(lodger);
    lodger.evict();
  }

  #countOf(address: string): number {
    return this.#byAddress.get(address) ?? 0;
  }
}

/** `host:port` without its port. */
export function hostOf(remote: string): string {
  const colon = remote.lastIndexOf(':');
  return colon < 0 ? remote : remote.slice(0, colon);
}
