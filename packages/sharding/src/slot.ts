// Hash slots of keys, as Redis Cluster has them: CRC-16/XMODEM of the key, or of its first non-empty `{tag}`, modulo
// 16,384. Clients compute the same number to find the host that serves a key, so this must never change.

/** Number of hash slots. */
export const slotCount = 16_384;

const openBrace = 0x7b;
const closeBrace = 0x7d;
const table: Uint16Array = makeTable();

function makeTable(): Uint16Array {
  const made = new Uint16Array(256);
  for (let byte = 0; byte < 256; byte++) {
    let crc = byte << 8;
    for (let bit = 0; bit < 8; bit++) crc = crc & 0x8000 ? (crc << 1) ^ 0x1021 : crc << 1;
    made[byte] = crc;
  }
  return made;
}

/** CRC-16/XMODEM (polynomial 0x1021, initial value 0) of `bytes[start, end)`. */
export function crc16(bytes: Uint8Array, start: number, end: number): number {
  let crc = 0;
  for (let i = start; i < end; i++) {
    crc = ((crc << 8) ^ (table[((crc >>> 8) ^ (bytes[i] as number)) & 0xff] as number)) & 0xffff;
  }
  return crc;
}

/**
 * Slot of the key `bytes[start, end)`. Where the key holds a `{` and a later `}` with at least one byte between, only the
 * bytes between the first `{` and the first `}` after it are hashed.
 */
export function keySlot(bytes: Uint8Array, start: number, end: number): number {
  for (let open = start; open < end; open++) {
    if (bytes[open] !== openBrace) continue;
    for (let close = open + 1; close < end; close++) {
      if (bytes[close] !== closeBrace) continue;
      if (close === open + 1) break;
      return crc16(bytes, open + 1, close) & (slotCount - 1);
    }
    break;
  }
  return crc16(bytes, start, end) & (slotCount - 1);
}
