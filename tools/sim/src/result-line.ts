// One seed's result as a line for people, or as JSON that a parent process reads back.

import type { ClusterResult, InvariantId, Totals } from '@flotilla/testkit';

/** Fields of a line of --json. */
export interface ResultRecord {
  readonly seed: number;
  readonly config: string;
  readonly events: number;
  readonly simulatedSeconds: number;
  readonly elapsedMs: number;
  readonly traceHash: string;
  readonly verdict: 'pass' | 'violation';
  readonly invariant: InvariantId | null;
  readonly message: string | null;
  readonly atSeconds: number | null;
  readonly replay: string;
  readonly totals: Totals;
  readonly report: string;
}

export function recordOf(result: ClusterResult, elapsedMs: number): ResultRecord {
  const { violation } = result;
  return {
    seed: result.seed,
    config: result.config,
    events: result.events,
    simulatedSeconds: result.simulatedSeconds,
    elapsedMs: Math.round(elapsedMs),
    traceHash: result.traceHash,
    verdict: result.verdict,
    invariant: violation?.invariant ?? null,
    message: violation?.message ?? null,
    atSeconds: violation === null ? null : violation.atUs / 1e6,
    replay: `npm run -s sim -- --seed ${result.seed} --config ${result.config}`,
    totals: result.totals,
    report: result.report,
  };
}

export function lineOf(record: ResultRecord): string {
  const { seed, config, events, simulatedSeconds, elapsedMs, traceHash, verdict } = record;
  const speed = elapsedMs > 0 ? (simulatedSeconds * 1000) / elapsedMs : 0;
  const acknowledged = record.totals.acknowledgedWrites;
  return [
    `seed ${seed}`,
    config,
    `${events} events`,
    `${simulatedSeconds.toFixed(1)} s`,
    `${speed.toFixed(0)}x`,
    `${acknowledged} writes`,
    `trace ${traceHash}`,
    verdict,
  ].join('  ');
}

/** What a person needs of a violation. */
export function violationText(record: ResultRecord): string {
  const { invariant, atSeconds, message, report, replay } = record;
  return [
    report,
    '',
    `VIOLATION of ${invariant} at ${atSeconds?.toFixed(6)} s: ${message}`,
    `replay: ${replay}`,
  ].join('\n');
}
