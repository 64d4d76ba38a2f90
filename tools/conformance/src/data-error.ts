// What is wrong with the data itself, as opposed to what our code makes of it: named by file and line, so that it can be
// found. A directory with such an error has not been passed, whatever its other files say. What the file says may be
// anything: it is shown as one short line of printable text.

export class DataError extends Error {
  readonly file: string;
  /** Counted from 1; 0 = the file as a whole. */
  readonly line: number;

  constructor(file: string, line: number, message: string) {
    super(`${line > 0 ? `${file}:${line}` : file}: ${printable(message)}`);
    this.name = 'DataError';
    this.file = file;
    this.line = line;
  }
}

const shownMax = 160;

function printable(text: string): string {
  const plain = text.replace(/[^\x20-\x7e∞]/g, '?');
  return plain.length <= shownMax ? plain : `${plain.slice(0, shownMax)} ...`;
}
