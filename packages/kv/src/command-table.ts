// Finds a command by the bytes of its name, in any case, without making a string.

import type { CommandSpec } from './command-spec.ts';

const bucketCount = 256;
/** Clears the bit that tells lower from upper case in ASCII letters. */
const caseMask = 0xdf;

interface Named {
  readonly upper: Uint8Array;
  readonly spec: CommandSpec;
}

export class CommandTable {
  readonly specs: readonly CommandSpec[];
  readonly #buckets: readonly (readonly Named[])[];

  constructor(specs: readonly CommandSpec[]) {
    const buckets: Named[][] = Array.from({ length: bucketCount }, () => []);
    const names = new Set<string>();
    for (const spec of specs) {
      if (!/^[a-z]+$/.test(spec.name) || names.has(spec.name)) {
        throw new RangeError(`bad or repeated command name: ${spec.name}`);
      }
      names.add(spec.name);
      const upper = Uint8Array.from(Buffer.from(spec.name.toUpperCase(), 'latin1'));
      buckets[bucketOf(upper, 0, upper.length)]?.push({ upper, spec });
    }
    this.specs = specs;
    this.#buckets = buckets;
  }

  find(bytes: Uint8Array, start: number, end: number): CommandSpec | undefined {
    for (const { upper, spec } of this.#buckets[bucketOf(bytes, start, end)] ?? []) {
      if (isName(upper, bytes, start, end)) return spec;
    }
    return undefined;
  }

  /** By name, for people's questions. */
  named(name: string): CommandSpec | undefined {
    const bytes = Buffer.from(name, 'latin1');
    return this.find(bytes, 0, bytes.length);
  }
}

function bucketOf(bytes: Uint8Array, start: number, end: number): number {
  let hash = end - start;
  for (let i = start; i < end && i < start + 16; i++) {
    hash = (Math.imul(hash, 31) + ((bytes[i] as number) & caseMask)) | 0;
  }
  return hash & (bucketCount - 1);
}

/** `upper` holds letters only, so a byte that equals one without its case bit is that letter. */
function isName(upper: Uint8Array, bytes: Uint8Array, start: number, end: number): boolean {
  if (upper.length !== end - start) return false;
  for (let i = 0; i < upper.length; i++) {
    const byte = bytes[start + i] as number;
    if (byte < 0x41 || (byte & caseMask) !== upper[i]) return false;
  }
  return true;
}
