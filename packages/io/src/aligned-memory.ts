// Memory that begins at a page. Node.js aligns what it allocates to 16 bytes and tells nobody the address; the memory of
// WebAssembly is mapped by itself and begins at a page of the machine, which is what O_DIRECT asks for.
//
// Each piece is a mapping with a wide guard region behind it: about 10 GiB of address space that costs no memory, but
// shows in the size of the process as the system tells it.

import type { AlignedMemory } from './world.ts';

const wasmPageBytes = 65_536;
const wasmPagesMax = 65_536;

/** The part of the JavaScript API that is used; Node's types have it only together with the browser's. */
interface WasmMemoryConstructor {
  new (descriptor: {
    initial: number;
    maximum: number;
    shared: boolean;
  }): {
    readonly buffer: ArrayBuffer | SharedArrayBuffer;
  };
}

/** Zeroed memory of `bytes` that begins at a page; null where there is no WebAssembly or no room for its mapping. */
export function alignedMemory(bytes: number, shared = false): AlignedMemory | null {
  const { WebAssembly } = globalThis as { WebAssembly?: { Memory: WasmMemoryConstructor } };
  const pages = Math.ceil(bytes / wasmPageBytes);
  if (WebAssembly === undefined || !(pages >= 1 && pages <= wasmPagesMax)) return null;
  try {
    const wasm = new WebAssembly.Memory({ initial: pages, maximum: pages, shared });
    return { bytes: new Uint8Array(wasm.buffer, 0, bytes), wasm };
  } catch {
    return null;
  }
}
