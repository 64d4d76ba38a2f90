// Prints what a suite found: one JSON object for machines, a table for people. The JSON's fields are stable; fields may be
// added.

import * as fs from 'node:fs';
import type { MachineFacts } from './machine.ts';
import type { BenchParams, BenchResult } from './suite.ts';

export interface BenchReport {
  readonly suite: string;
  readonly date: string;
  readonly machine: MachineFacts;
  readonly params: BenchParams;
  readonly results: readonly BenchResult[];
}

/** `target` is a file, `-` for stdout, or undefined for the table on stdout. */
export function writeReport(report: BenchReport, target: string | undefined): void {
  const json = `${JSON.stringify(report, null, 2)}\n`;
  if (target === '-') process.stdout.write(json);
  else process.stdout.write(table(report));
  if (target !== undefined && target !== '-') fs.writeFileSync(target, json);
}

function table({ suite, machine, params, results }: BenchReport): string {
  const head = Object.entries(params).map(([name, value]) => `${name} ${value}`);
  const width = Math.max(...results.map(({ name }) => name.length));
  const rows = results.map(({ name, unit, value, ...extra }) => {
    const more = Object.entries(extra).map(([key, figure]) => `${key} ${figure}`);
    return `  ${name.padEnd(width)}  ${format(value).padStart(12)} ${unit.padEnd(10)} ${more.join('  ')}`;
  });
  const { cpu, cores, node, fs: fileSystem, fdatasyncP50Ms } = machine;
  return [
    `${suite}: ${head.join(', ')}`,
    ...rows.map((row) => row.trimEnd()),
    `  on ${cpu}, ${cores} cores, Node.js ${node}, ${fileSystem}, fdatasync ${fdatasyncP50Ms} ms`,
    '',
  ].join('\n');
}

function format(value: number): string {
  return value.toLocaleString('en-US', { maximumFractionDigits: value < 100 ? 3 : 0 });
}
