// Checks of numbers that callers hand in: misuse throws a RangeError that names the argument.

export function checkUint(name: string, value: number): void {
  if (!(Number.isSafeInteger(value) && value >= 0)) {
    throw new RangeError(`${name} must be a whole number from 0 to 2^53 - 1, not ${value}`);
  }
}

export function checkUint32(name: string, value: number): void {
  if (!(Number.isSafeInteger(value) && value >= 0 && value <= 0xffff_ffff)) {
    throw new RangeError(`${name} must be a whole number from 0 to 2^32 - 1, not ${value}`);
  }
}
