// Makes the clone runnable (bootstrap.mjs), then becomes the program: one process, so that a shell has a single command
// to wait for and passes its exit code on. In `a && b` a shell that saw the Ctrl-C reports 130, whatever b answered.
//
//   node tools/run.mjs [--quiet] PROGRAM [arguments]      PROGRAM is a path from the root of the repository

import { spawnSync } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const words = process.argv.slice(2);
const options = words[0] === '--quiet' ? words.splice(0, 1) : [];
const [program = '', ...args] = words;

const { status } = spawnSync(process.execPath, [join(root, 'tools', 'bootstrap.mjs'), ...options], {
  stdio: 'inherit',
});
if (status !== 0) process.exit(status ?? 1);
const path = join(root, program);
process.argv = [process.argv[0] ?? process.execPath, path, ...args];
await import(pathToFileURL(path).href);
