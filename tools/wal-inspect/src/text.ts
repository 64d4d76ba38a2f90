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

type Cell = string | number;

/**
 * Rows of cells under a head, columns aligned; numbers to the right. However many rows: they are gone through twice, once
 * for the widths, and none is kept.
 */
export function* tableLines(
  head: readonly string[],
  rows: Iterable<readonly Cell[]>,
): Generator<string> {
  const textOf = (cell: Cell | undefined): string =>
    typeof cell === 'number' ? digits(cell) : (cell ?? '');
  const widths = head.map((cell) => cell.length);
  const isNumber = head.map(() => true);
  for (const row of rows) {
    for (let column = 0; column < widths.length; column++) {
      const { length } = textOf(row[column]);
      if (length > (widths[column] as number)) widths[column] = length;
      if (typeof row[column] !== 'number') isNumber[column] = false;
    }
  }
  const lineOf = (row: readonly Cell[]): string =>
    row
      .map((cell, column) => {
        const width = widths[column] as number;
        return isNumber[column] === true
          ? textOf(cell).padStart(width)
          : textOf(cell).padEnd(width);
      })
      .join('  ')
      .trimEnd();
  yield lineOf(head);
  for (const row of rows) yield lineOf(row);
}

export function tableTo(
  out: { line(text: string): void },
  head: readonly string[],
  rows: Iterable<readonly Cell[]>,
): void {
  for (const line of tableLines(head, rows)) out.line(line);
}
