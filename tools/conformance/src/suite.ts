// What every suite answers for one file: how many of its cases hold, and what did not. The runner adds up and prints;
// a suite knows nothing of directories, deviations or totals.

export interface FileResult {
  readonly passed: number;
  readonly total: number;
  /** Shown behind the counts. */
  readonly note: string;
  /** One line each, beginning with `FILE:LINE: `. */
  readonly failures: readonly string[];
}

/** Collects the cases of one file. */
export class Tally {
  passed = 0;
  total = 0;
  readonly failures: string[] = [];

  /** Counts one case; `problem` is null where it holds. */
  count(file: string, line: number, problem: string | null): void {
    this.total++;
    if (problem === null) this.passed++;
    else this.failures.push(`${file}:${line}: ${problem}`);
  }

  result(note = ''): FileResult {
    const { passed, total, failures } = this;
    return { passed, total, note, failures };
  }
}
