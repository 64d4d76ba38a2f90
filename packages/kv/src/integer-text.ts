// Decimal integers as clients send and store them: 64-bit signed, in canonical form only (no sign but `-`, no leading
// zeros, no spaces). Up to fifteen digits they are numbers; longer ones, which are rare, go through bigint.

const numberDigitsMax = 15;
export const int64Min: bigint = -(2n ** 63n);
export const int64Max: bigint = 2n ** 63n - 1n;

/** The integer in `bytes[start, end)`, or NaN where it is not one in canonical form or has more than 15 digits. */
export function smallIntegerAt(bytes: Uint8Array, start: number, end: number): number {
  let at = start;
  const isNegative = end - start > 1 && bytes[start] === 0x2d;
  if (isNegative) at++;
  const digits = end - at;
  if (digits < 1 || digits > numberDigitsMax) return Number.NaN;
  if (bytes[at] === 0x30 && (digits > 1 || isNegative)) return Number.NaN;
  let value = 0;
  for (; at < end; at++) {
    const digit = (bytes[at] as number) - 0x30;
    if (digit < 0 || digit > 9) return Number.NaN;
    value = value * 10 + digit;
  }
  return isNegative ? -value : value;
}

/** The 64-bit signed integer in `bytes[start, end)`, or null. */
export function int64At(bytes: Uint8Array, start: number, end: number): bigint | null {
  if (end - start < 1 || end - start > 20) return null;
  let text = '';
  for (let i = start; i < end; i++) text += String.fromCharCode(bytes[i] as number);
  if (!/^(0|-?[1-9][0-9]{0,18})$/.test(text)) return null;
  const value = BigInt(text);
  return value >= int64Min && value <= int64Max ? value : null;
}
