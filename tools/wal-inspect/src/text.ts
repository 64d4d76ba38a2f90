// Numbers and tables as text.

/** `9 114`: digits in groups of three. */
export function digits(value: number): string {
  return value.toString().replace(/\B(?=(\d{3})+$)/g, ' ');
}

export function hex32(value: number): string {
  return value.toString(16).padStart(8, '0');
}

export function hexOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('hex');
}

/** Segment id as places name it: hex without leading zeros. */
export function segmentLabel(segId: number): string {
  return segId.toString(16);
}

/** Rows of cells under a head, columns aligned; numbers to the right. */
export function table(
  head: readonly string[],
  rows: readonly (readonly (string | number)[])[],
): string[] {
  const cells = [
    head,
    ...rows.map((row) => row.map((cell) => (typeof cell === 'number' ? digits(cell) : cell))),
  ];
  const widths = head.map((_, column) =>
    Math.max(...cells.map((row) => (row[column] ?? '').length)),
  );
  const isNumber = head.map(
    (_, column) => rows.length > 0 && rows.every((row) => typeof row[column] === 'number'),
  );
  return cells.map((row) =>
    row
      .map((cell, column) => {
        const width = widths[column] as number;
        return isNumber[column] === true ? cell.padStart(width) : cell.padEnd(width);
      })
      .join('  ')
      .trimEnd(),
  );
}
