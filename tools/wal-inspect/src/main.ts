#!/usr/bin/env node
// Entry of the command line: everything is in run.ts, which tests call without a process.

import { setFlagsFromString } from 'node:v8';
import { streamOutput } from './output.ts';
import { run } from './run.ts';

// Young objects are few and die at once; a large space for them would only be memory held beside a large log.
setFlagsFromString('--max-semi-space-size=2');
setFlagsFromString('--semi-space-growth-factor=1');

process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  // The reader went away (`| head`): nothing is left to do.
  if (error.code === 'EPIPE') process.exit(0);
  throw error;
});
const stop = new AbortController();
process.on('SIGINT', () => {
  // The first asks what follows a log to end in good order, the second ends anything.
  if (stop.signal.aborted || !process.argv.includes('tail')) process.exit(130);
  stop.abort();
});
process.exitCode = await run(process.argv.slice(2), streamOutput(process.stdout, process.stderr), {
  signal: stop.signal,
});
