// Small helpers between bytes, latin-1 text and copies.

const loopBytesMax = 48;

/** A copy of `bytes[start, end)` in memory of its own (a Buffer's slice() would share). */
export function copyOf(bytes: Uint8Array, start: number, end: number): Uint8Array {
  const copy = new Uint8Array(end - start);
  if (copy.length > loopBytesMax) {
    copy.set(bytes.subarray(start, end));
    return copy;
  }
  for (let i = start, at = 0; i < end; i++, at++) copy[at] = bytes[i] as number;
  return copy;
}

let lastSeen: Uint8Array = new Uint8Array(0);
let lastBuffer: Buffer = Buffer.alloc(0);

/** Latin-1 text of `bytes[start, end)`. The Buffer around the last array asked for is kept: calls come in runs. */
export function latin1At(bytes: Uint8Array, start: number, end: number): string {
  if (bytes !== lastSeen) {
    lastSeen = bytes;
    lastBuffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }
  return lastBuffer.toString('latin1', start, end);
}

export function latin1Bytes(text: string): Uint8Array {
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}
