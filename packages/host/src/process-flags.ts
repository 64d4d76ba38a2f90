// Flags of Node.js for a process that runs hosts, for whoever starts one.
//
// Each command in flight holds a promise and its call until a quorum has it. With V8's young generation of 16 MiB thousands
// of them are copied again and again before they end; with 64 MiB most have ended by the next collection. Costs up to
// 100 MiB of memory, saves about a tenth of the CPU time with thousands of groups.

/** For `node` or for execArgv; NODE_OPTIONS takes only the first. */
export const hostProcessFlags: readonly string[] = [
  '--max-semi-space-size=64',
  '--min-semi-space-size=64',
];
