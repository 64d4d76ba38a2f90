// Who may touch the outside. Time, randomness, timers, files, sockets, processes and the console exist only in
// packages/io (the door), tools, bench and tests; every other package gets them passed in as a World. That is what lets
// a whole host run in the deterministic simulator, where any ambient call would make two runs of one seed differ.
//
// The rule judges names, not values: it is a fence against accidents and habits, the simulator's runtime guard is the
// one against cunning.

import { outsideImportsOf } from './imports.mjs';
import { lineAt, scan } from './scanner.mjs';

/** @typedef {import('./imports.mjs').Finding} Finding */

/** Global names that reach the outside or differ from run to run, with what to use in their place. */
const bannedGlobals = new Map([
  ...each('Date performance Temporal', 'time comes from the Clock passed in'),
  ...each(
    'setTimeout setInterval setImmediate clearTimeout clearInterval clearImmediate',
    'timers come from the Clock passed in',
  ),
  ...each('queueMicrotask MessageChannel BroadcastChannel', 'Clock.nextTurn schedules work'),
  ...each('crypto', 'randomness comes from the Rng passed in'),
  ...each('process navigator', 'the process belongs to io and the tools'),
  ...each('console', 'a library is silent; report through its events'),
  ...each('fetch WebSocket EventSource XMLHttpRequest', 'the network is the Net passed in'),
  ...each('Worker SharedWorker', 'threads are the Workers passed in'),
  ...each('globalThis global', 'the global object gives ambient access to everything'),
  ...each('WeakRef FinalizationRegistry', 'garbage collection differs from run to run'),
  ...each('Intl', 'order and form must not depend on a locale'),
  ...each('eval', 'evaluated text cannot be judged'),
]);

/** Members that do the same on objects that are harmless otherwise. */
const bannedMembers = [
  {
    pattern: /(?<![.\w$#])Math\s*\??\.\s*random(?![\w$])/g,
    message: 'Math.random: randomness comes from the Rng passed in',
  },
  {
    pattern: /(?<![.\w$#])Math(?![\w$])(?!\s*\??\.\s*[A-Za-z])/g,
    message: 'Math is used by members written out, so that they can be judged',
  },
  {
    pattern: /(?<![.\w$#])AbortSignal\s*\??\.\s*timeout(?![\w$])/g,
    message: 'AbortSignal.timeout: timers come from the Clock passed in',
  },
  {
    pattern: /\.\s*(?:localeCompare|toLocale\w+)(?![\w$])/g,
    message: 'order and form must not depend on a locale',
  },
];

/**
 * Files of packages that may do more, each with the reason. `modules` and `globals` list exactly what.
 * @type {readonly { readonly file: RegExp, readonly modules: readonly string[], readonly globals: readonly string[] }[]}
 */
const exceptions = [
  // The database's client port: a socket server is its job, and clients are outside the simulated world.
  {
    file: /^packages\/kv\/src\/(?:[\w-]+\/)*[\w-]*(?:socket|server)[\w-]*\.ts$/,
    modules: ['node:net', 'node:tls'],
    globals: [],
  },
  // The simulator's kernel lets all microtasks run between two events; nothing else in Node.js can wait for them.
  { file: /^packages\/testkit\/src\/sim-kernel\.ts$/, modules: [], globals: ['setImmediate'] },
  // The simulator's runtime guard replaces the ambient names by functions that throw.
  {
    file: /^packages\/testkit\/src\/(?:[\w-]+\/)*[\w-]*guard[\w-]*\.ts$/,
    modules: [],
    globals: [...bannedGlobals.keys(), 'Math'],
  },
];

/**
 * Findings in one source file of a package (`packages/NAME/src/...`).
 * @param {string} file
 * @param {string} source
 * @returns {Finding[]}
 */
export function checkAmbient(file, source) {
  const self = /^packages\/([^/]+)\/src\//.exec(file)?.[1];
  if (self === undefined || self === 'io') return [];
  const allowed = exceptions.filter((exception) => exception.file.test(file));
  const modules = new Set(allowed.flatMap((exception) => exception.modules));
  const globals = new Set(allowed.flatMap((exception) => exception.globals));
  const { code } = scan(source);
  /** @type {Finding[]} */
  const findings = [];
  /**
   * @param {number} at
   * @param {string} message
   */
  const report = (at, message) =>
    findings.push({ file, line: lineAt(source, at), rule: 'ambient', message });

  for (const { specifier, at } of outsideImportsOf(source)) {
    const name = specifier?.startsWith('node:') ? specifier : `node:${specifier}`;
    if (!modules.has(name)) report(at, `${name} is reached through packages/io only`);
  }
  for (const match of code.matchAll(/(?<![\w$#])[A-Za-z]\w*/g)) {
    const message = bannedGlobals.get(match[0]);
    if (message === undefined || globals.has(match[0])) continue;
    if (isUse(code, match.index, match[0])) report(match.index, `${match[0]}: ${message}`);
  }
  for (const { pattern, message } of bannedMembers) {
    if (globals.has('Math') && pattern.source.includes('Math')) continue;
    for (const match of code.matchAll(pattern)) report(match.index, message);
  }
  return findings;
}

/**
 * Whether the name at an offset stands for the global: not a member of something, not a property's or a method's name.
 * @param {string} code
 * @param {number} at
 * @param {string} name
 */
function isUse(code, at, name) {
  const before = code.slice(0, at).trimEnd();
  const after = code.slice(at + name.length).trimStart();
  if (before.endsWith('.') && !before.endsWith('...')) return false;
  const opensMember = /(?:[{},;]|\b(?:readonly|async|static|get|set|override))$/.test(before);
  if (opensMember && /^\??:/.test(after)) return false;
  return !(opensMember && after.startsWith('(') && isMethodHead(after));
}

/**
 * Whether a parameter list is followed by what only a declaration has: a body or a result type.
 * @param {string} text Begins with the opening parenthesis.
 */
function isMethodHead(text) {
  let depth = 0;
  for (let i = 0; i < text.length; i++) {
    const char = text.charAt(i);
    if (char === '(') depth++;
    if (char === ')' && --depth === 0) return /^\s*[:{]/.test(text.slice(i + 1));
  }
  return false;
}

/**
 * @param {string} names
 * @param {string} message
 * @returns {[string, string][]}
 */
function each(names, message) {
  return names.split(' ').map((name) => [name, message]);
}
