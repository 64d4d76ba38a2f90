// What is wrong with the data itself, as opposed to what our code makes of it: named by file and line, so that it can be
// found. A directory with such an error has not been passed, whatever its other files say.

export class DataError extends Error {
  readonly file: string;
  /** Counted from 1; 0 = the file as a whole. */
  readonly line: number;

  constructor(file: string, line: number, message: string) {
    super(line > 0 ? `${file}:${line}: ${message}` : `${file}: ${message}`);
    this.name = 'DataError';
    this.file = file;
    this.line = line;
  }
}
