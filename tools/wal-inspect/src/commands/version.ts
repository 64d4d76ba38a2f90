// version: what this version of the tool can read.

import { formatMajor, formatMinor, knownIncompat } from '@flotilla/wal';
import { exitCodes } from '../exit-codes.ts';
import { typeNames } from '../record-walk.ts';
import type { Job } from '../run.ts';

export function version(job: Job): number {
  const facts = {
    formatMajor,
    formatMinor,
    incompatibleFeatures: knownIncompat,
    recordTypes: Object.fromEntries(
      Object.entries(typeNames).map(([type, name]) => [name, Number(type)]),
    ),
    node: process.version,
  };
  if (job.options.json) job.out.line(JSON.stringify(facts));
  else {
    job.out.line(
      `wal-inspect for log format ${formatMajor}.${formatMinor} on Node ${process.version}`,
    );
    const names = Object.entries(facts.recordTypes).map(([name, type]) => `${type} ${name}`);
    job.out.line(`records: ${names.join(', ')}`);
  }
  return exitCodes.clean;
}
