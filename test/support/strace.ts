// Reads what `strace -f -ttt -T -o FILE` writes: one call a line, or two where another thread came in between. The number
// at the end is how long the call took.
//
//   1234 1700000000.000001 pwrite64(5, "...", 4096, 8192) = 4096 <0.000040>
//   1234 1700000000.000050 fdatasync(5 <unfinished ...>
//   1234 1700000000.000900 <... fdatasync resumed>) = 0 <0.000850>

export interface TracedCall {
  readonly name: string;
  /** The first argument, where it is a number. */
  readonly fd: number;
  /** All of the line, or of both lines. */
  readonly text: string;
  /** Seconds since 1970. */
  readonly startedAt: number;
  /** null: it had not ended when the trace did. */
  readonly endedAt: number | null;
  readonly result: number | null;
}

const callLine = /^(\d+)\s+(\d+\.\d+)\s+(\w+)\((\d*)/;
const resumedLine = /^(\d+)\s+\d+\.\d+\s+<\.\.\. \w+ resumed>/;
const ending = /\)\s+= (-?\d+)[^"]* <(\d+\.\d+)>$/;

export function readTrace(text: string): TracedCall[] {
  const calls: TracedCall[] = [];
  /** By thread, the place of a call whose second line is still to come. */
  const unfinished = new Map<string, number>();
  for (const line of text.split('\n')) {
    const resumed = resumedLine.exec(line);
    if (resumed !== null) {
      const at = unfinished.get(resumed[1] as string) ?? -1;
      const call = calls[at];
      if (call !== undefined) calls[at] = { ...call, text: call.text + line, ...endOf(call, line) };
      continue;
    }
    const begun = callLine.exec(line);
    if (begun === null) continue;
    const [, thread = '', startedAt, name = '', fd] = begun;
    const call = {
      name,
      fd: Number(fd),
      text: line,
      startedAt: Number(startedAt),
      endedAt: null,
      result: null,
    };
    if (line.endsWith('<unfinished ...>')) unfinished.set(thread, calls.length);
    calls.push({ ...call, ...endOf(call, line) });
  }
  return calls;
}

function endOf({ startedAt }: { readonly startedAt: number }, line: string): Partial<TracedCall> {
  const [, result, seconds] = ending.exec(line) ?? [];
  return seconds === undefined
    ? {}
    : { result: Number(result), endedAt: startedAt + Number(seconds) };
}
