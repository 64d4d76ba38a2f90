// What a benchmark suite is: a function from its command line to parameters and results. The dispatcher adds the date and
// the machine and prints; a suite only measures. A suite that finds its own run invalid (counts that do not add up,
// replicas that differ) throws: a wrong run has no figures.

/** One figure. Fields may be added; those named here keep their meaning. */
export interface BenchResult {
  readonly name: string;
  readonly unit: string;
  readonly value: number;
  readonly p50Ms?: number;
  readonly p99Ms?: number;
  readonly p999Ms?: number;
  /** How many measurements the percentiles come from. */
  readonly samples?: number;
  /** Median absolute deviation, in the unit of `value`. */
  readonly mad?: number;
  readonly [extra: string]: number | string | undefined;
}

export type BenchParams = Readonly<Record<string, number | string | boolean>>;

export interface SuiteReport {
  readonly params: BenchParams;
  readonly results: readonly BenchResult[];
}

/** `args` are the words after the suite's name, without --json. */
export type Suite = (args: readonly string[]) => Promise<SuiteReport>;
