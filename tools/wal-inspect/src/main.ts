#!/usr/bin/env node
// Entry of the command line: everything is in run.ts, which tests call without a process.

import { collectorOfReads, preferSmallHeap } from './thrift.ts';

preferSmallHeap();
const { streamOutput } = await import('./output.ts');
const { run } = await import('./run.ts');

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
  onRead: collectorOfReads(),
});
