// The gate before a commit, read-only: format, lint, types of sources and tests, the rules of tools/rules, the checks of
// the documentation, then the unit tests. All steps run even where one fails, so that one pass shows everything.
//
//   node tools/verify.mjs [--fast]      --fast leaves the tests out
//
// Changes nothing but build output and caches. Exit codes: 0 everything holds, 1 something does not.

import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join, relative, sep } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { checkAmbient } from './rules/ambient.mjs';
import { checkErrorReference, checkLinks } from './rules/docs.mjs';
import { checkHouse } from './rules/house.mjs';
import { checkImports } from './rules/imports.mjs';

/** @typedef {import('./rules/imports.mjs').Finding} Finding */

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const fast = process.argv.includes('--fast');
const skippedFolders = new Set(['node_modules', 'dist', '.git', 'data', 'results']);
const files = filesUnder(root);

let failures = 0;
await step('format', () => tool('@biomejs/biome/bin/biome', ['format', '.']));
await step('lint', () => tool('oxlint/bin/oxlint', ['--type-aware', '.']));
await step('types of sources', () => tool('typescript/bin/tsc', ['-b']));
await step('types of tests', () => tool('typescript/bin/tsc', ['-p', 'tsconfig.tests.json']));
await step('house rules', () => report(houseFindings()));
await step('documentation', async () => report(await docsFindings()));
if (!fast) await step('unit tests', () => tool('vitest/vitest.mjs', ['run', '--project', 'unit']));

if (failures > 0) console.error(`verify: ${failures} of the steps above failed`);
else console.log(`verify: everything holds${fast ? ' (tests left out)' : ''}`);
process.exitCode = failures > 0 ? 1 : 0;

/**
 * @param {string} name
 * @param {() => boolean | Promise<boolean>} check
 */
async function step(name, check) {
  const start = performance.now();
  const ok = await check();
  const seconds = ((performance.now() - start) / 1000).toFixed(1);
  console.log(`${ok ? 'ok    ' : 'FAILED'} ${name} (${seconds} s)`);
  if (!ok) failures++;
}

/**
 * Runs a tool from node_modules; its output is shown only where it failed, that of the tests always.
 * @param {string} module
 * @param {readonly string[]} args
 */
function tool(module, args) {
  const script = join(root, 'node_modules', ...module.split('/'));
  const shown = module.startsWith('vitest');
  const { status, stdout, stderr } = spawnSync(process.execPath, [script, ...args], {
    cwd: root,
    encoding: 'utf8',
    stdio: shown ? 'inherit' : 'pipe',
    maxBuffer: 64 * 1024 * 1024,
  });
  if (status !== 0 && !shown) process.stdout.write(stdout + stderr);
  return status === 0;
}

/** @param {readonly Finding[]} findings */
function report(findings) {
  for (const { file, line, rule, message } of findings) {
    console.log(`${file}:${line}: ${message} [${rule}]`);
  }
  return findings.length === 0;
}

function houseFindings() {
  /** @type {Finding[]} */
  const findings = [];
  /** @type {Map<string, string[]>} */
  const dependencies = new Map();
  for (const file of files) {
    if (!/\.(?:ts|mts|mjs)$/.test(file)) continue;
    const source = text(file);
    findings.push(...checkHouse(file, source));
    const folder = /^packages\/[^/]+(?=\/src\/)/.exec(file)?.[0];
    if (folder === undefined) continue;
    if (!dependencies.has(folder)) dependencies.set(folder, dependenciesOf(folder));
    const declared = { dependencies: dependencies.get(folder) ?? [] };
    findings.push(...checkImports(file, source, declared), ...checkAmbient(file, source));
  }
  return findings;
}

async function docsFindings() {
  /** @type {Finding[]} */
  const findings = [];
  for (const file of files) {
    if (!file.endsWith('.md')) continue;
    findings.push(...checkLinks(file, text(file), read));
  }
  const { errorCodes } = await import(pathToFileURL(join(root, 'packages/io/dist/errors.js')).href);
  const reference = 'docs/reference/errors.md';
  findings.push(...checkErrorReference(reference, read(reference) ?? '', errorCodes));
  for (const name of readdirSync(join(root, 'packages'))) {
    const readme = `packages/${name}/README.md`;
    if (!existsSync(join(root, `packages/${name}/package.json`)) || files.includes(readme))
      continue;
    findings.push({ file: readme, line: 1, rule: 'docs', message: 'a package needs a README' });
  }
  return findings;
}

/** @param {string} folder */
function dependenciesOf(folder) {
  const manifest = JSON.parse(text(`${folder}/package.json`));
  return Object.keys({ ...manifest.dependencies, ...manifest.peerDependencies });
}

/**
 * Every file of the repository below a folder, relative to the root, with forward slashes.
 * @param {string} folder
 * @returns {string[]}
 */
function filesUnder(folder) {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return skippedFolders.has(entry.name) ? [] : filesUnder(path);
    return entry.isFile() ? [relative(root, path).split(sep).join('/')] : [];
  });
}

/** @param {string} file */
function text(file) {
  return readFileSync(join(root, file), 'utf8');
}

/** @param {string} path */
function read(path) {
  const absolute = join(root, path);
  if (!existsSync(absolute)) return null;
  return statSync(absolute).isDirectory() ? '' : readFileSync(absolute, 'utf8');
}
