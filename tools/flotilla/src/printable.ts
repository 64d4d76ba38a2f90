// Text that is safe to show on a terminal: what could move a cursor, break a line or turn the writing direction is
// escaped. Newlines that our own messages hold stay.

/** Ranges of code units, ends included: controls but the line feed, invisible and direction marks, line separators. */
const unsafeRanges: readonly (readonly [number, number])[] = [
  [0x00, 0x09],
  [0x0b, 0x1f],
  [0x7f, 0x9f],
  [0x200b, 0x200f],
  [0x2028, 0x202e],
  [0x2066, 0x2069],
  [0xfeff, 0xfeff],
];
const escaped = (unit: number): string => `\\u${unit.toString(16).padStart(4, '0')}`;
const rangeText = unsafeRanges.map((range) => range.map(escaped).join('-')).join('');
const unsafe = new RegExp(`[${rangeText}]`, 'g');

export function printable(text: string): string {
  return text.replace(unsafe, (character) => escaped(character.charCodeAt(0)));
}
