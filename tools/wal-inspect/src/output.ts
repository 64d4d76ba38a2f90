// Where lines go. Lines are gathered and written in pieces of 64 KiB, so that a dump of millions of records costs
// neither a system call a line nor memory.

export interface Output {
  readonly line: (text: string) => void;
  /** A part of a line that is too long to be held; the next line() ends it. */
  readonly part: (text: string) => void;
  readonly error: (text: string) => void;
  /** Writes what was gathered: before waiting, and at the end. */
  readonly flush: () => void;
  /** What stands on the terminal while long work runs, replaced by the next; absent where nobody watches. */
  readonly progress?: (text: string) => void;
}

const pieceChars = 64 * 1024;

/**
 * The text with its control characters written out: names of files come from whoever made them, and a terminal would obey.
 * As JSON escapes them, which leaves some as they are: a line may be JSON. A message on stderr may have several lines.
 */
export function visible(text: string, mayBreak: boolean): string {
  return text.replace(/\p{Cc}/gu, (control) => {
    if (mayBreak && control === '\n') return control;
    return `\\u${control.charCodeAt(0).toString(16).padStart(4, '0')}`;
  });
}

/** Writes the items of a JSON array one by one: a hundred thousand as one text would be held several times over. */
export function itemsTo({ part }: Output): (json: string) => void {
  let comma = '';
  return (json) => {
    part(`${comma}${json}`);
    comma = ',';
  };
}

interface Stream {
  write(text: string): unknown;
  readonly isTTY?: boolean;
}

export function streamOutput(stdout: Stream, stderr: Stream): Output {
  let gathered = '';
  let shown = 0;
  const clear = (): void => {
    if (shown > 0) stderr.write(`\r${' '.repeat(shown)}\r`);
    shown = 0;
  };
  const flush = (): void => {
    if (gathered === '') return;
    clear();
    stdout.write(gathered);
    gathered = '';
  };
  const gather = (text: string): void => {
    gathered += text;
    if (gathered.length >= pieceChars) flush();
  };
  const out: Output = {
    line: (text) => gather(`${visible(text, false)}\n`),
    part: (text) => gather(visible(text, false)),
    error(text) {
      flush();
      clear();
      stderr.write(`${visible(text, true)}\n`);
    },
    flush() {
      flush();
      clear();
    },
  };
  if (stderr.isTTY !== true) return out;
  return {
    ...out,
    progress(text) {
      clear();
      stderr.write(text);
      shown = text.length;
    },
  };
}
