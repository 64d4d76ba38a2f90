// Which module may import which: packages import one way only (docs/internals/README.md draws it), from each other's
// front door, and only what their manifest declares. This is what keeps core pure, the log ignorant of Raft, and every
// package but io away from the operating system.
//
// The rule reads sources, not the resolved graph, so a module that cannot be resolved is still judged. An import that is
// made at run time from a computed name cannot be judged and is refused.

import { lineAt, scan } from './scanner.mjs';

/**
 * @typedef {object} Finding
 * @property {string} file Relative to the repository, with forward slashes.
 * @property {number} line
 * @property {string} rule
 * @property {string} message
 *
 * @typedef {object} ImportRecord
 * @property {string | null} specifier Null where it is not a plain string.
 * @property {'static' | 'dynamic' | 'require'} form
 * @property {number} at Offset in the source.
 * @property {string} clause What is imported, as written between `import` and `from`.
 */

/**
 * For each package those of ours that it may import. A package that is not listed may import any.
 * @type {ReadonlyMap<string, readonly string[]>}
 */
const direction = new Map(
  Object.entries({
    io: [],
    codec: [],
    core: [],
    wal: ['io', 'codec'],
    transport: ['io', 'codec'],
    host: ['core', 'wal', 'transport', 'codec', 'io'],
    sharding: ['host', 'codec', 'io'],
    kv: ['sharding', 'host', 'codec', 'io'],
    raftnode: ['core', 'codec', 'io'],
    flotilla: ['raftnode', 'sharding', 'host', 'core', 'wal', 'transport', 'codec', 'io'],
    testkit: ['sharding', 'host', 'core', 'wal', 'transport', 'codec', 'io'],
  }),
);

/** Second doors: what a package shows to one other package and to nobody else. */
const sideDoors = new Map([['@flotilla/host/testing', 'testkit']]);

/** Built-in modules that compute and nothing else. */
const pureBuiltins = new Set(
  ['assert', 'buffer', 'diagnostics_channel', 'events', 'path', 'string_decoder', 'url', 'util']
    .concat('zlib')
    .map((name) => `node:${name}`),
);
/** Of modules that also have ambient parts, the names that compute. */
const pureNames = new Map([
  ['node:crypto', new Set(['createHash', 'createHmac', 'hash', 'timingSafeEqual'])],
  ['node:module', new Set(['createRequire'])],
]);

/**
 * Every import in a source, in any form.
 * @param {string} source
 * @returns {ImportRecord[]}
 */
export function importsOf(source) {
  const { code, strings } = scan(source);
  const startingAt = new Map(strings.map((literal) => [literal.start, literal]));
  /** @type {ImportRecord[]} */
  const records = [];

  /** @param {number} at */
  const literalAfter = (at) => startingAt.get(at + (/^\s*/.exec(code.slice(at))?.[0].length ?? 0));
  /**
   * The one argument of a call whose opening parenthesis ends at `at`; null where it is anything but a plain string.
   * @param {number} at
   */
  const argumentAt = (at) => {
    const literal = literalAfter(at);
    return literal !== undefined && /^\s*[),]/.test(code.slice(literal.end)) ? literal.value : null;
  };

  const words = /(?<![.\w$#])(import|export|require|createRequire)(?![\w$])/g;
  for (const match of code.matchAll(words)) {
    const at = match.index;
    const after = at + match[0].length;
    const rest = code.slice(after);
    const call = /^\s*\(/.exec(rest);
    switch (match[1]) {
      case 'createRequire': {
        // Allowed in one form only, called at once with a plain string: createRequire(import.meta.url)('name').
        const called = /^\s*\(\s*import\.meta\.url\s*\)\s*\(/.exec(rest);
        const isMention = call === null && /^\s*[,}]/.test(rest);
        if (called !== null) {
          const specifier = argumentAt(after + called[0].length);
          records.push({ specifier, form: 'require', at, clause: '' });
        } else if (!isMention) records.push({ specifier: null, form: 'require', at, clause: '' });
        break;
      }
      case 'require':
        records.push({
          specifier: call === null ? null : argumentAt(after + call[0].length),
          form: 'require',
          at,
          clause: '',
        });
        break;
      default: {
        if (/^\s*\.\s*meta/.test(rest)) break;
        if (call !== null && match[1] === 'import') {
          const specifier = argumentAt(after + call[0].length);
          records.push({ specifier, form: 'dynamic', at, clause: '' });
          break;
        }
        // `import 'x'`, or a clause of names, braces, commas and stars that ends in `from 'x'`.
        const clause =
          /^((?:[\s\w$*,{}]|(?<=[\s,{])["'][^"']*["'])*?)(?<![\w$])from\s*(?=["'])/.exec(rest);
        const literal = literalAfter(clause === null ? after : after + clause[0].length);
        if (literal === undefined) break;
        records.push({
          specifier: literal.value,
          form: 'static',
          at,
          clause: (clause?.[1] ?? '').trim(),
        });
      }
    }
  }
  return records;
}

/**
 * Findings in one source file of a package (`packages/NAME/src/...`).
 * @param {string} file
 * @param {string} source
 * @param {{ readonly dependencies: readonly string[] }} manifest What the package's manifest declares.
 * @returns {Finding[]}
 */
export function checkImports(file, source, manifest) {
  const self = /^packages\/([^/]+)\/src\//.exec(file)?.[1];
  if (self === undefined) return [];
  /** @type {Finding[]} */
  const findings = [];
  for (const record of importsOf(source)) {
    const message = objection(file, self, record, manifest.dependencies);
    if (message !== null) {
      findings.push({ file, line: lineAt(source, record.at), rule: 'imports', message });
    }
  }
  return findings;
}

/**
 * @param {string} file
 * @param {string} self
 * @param {ImportRecord} record
 * @param {readonly string[]} dependencies
 * @returns {string | null}
 */
function objection(file, self, record, dependencies) {
  const { specifier, form } = record;
  if (form === 'dynamic') return 'a package imports statically, so that its imports can be judged';
  if (specifier === null)
    return 'a require that is not createRequire(import.meta.url) of a plain string';
  if (specifier.startsWith('.')) return relativeObjection(file, self, specifier);
  if (specifier.startsWith('node:')) return builtinObjection(self, specifier, record);
  const [, scope, ours, subpath] = /^(@flotilla\/)?([^/]+)(\/.*)?$/.exec(specifier) ?? [];
  if (scope !== undefined || specifier === 'flotilla') {
    const name = scope === undefined ? 'flotilla' : (ours ?? '');
    if (subpath !== undefined && sideDoors.get(specifier) !== self)
      return `${specifier} goes past the front door of ${name}`;
    const allowed = direction.get(self);
    if (allowed !== undefined && !allowed.includes(name)) return `${self} must not know ${name}`;
  } else if (self === 'core') {
    return 'core imports nothing at all';
  }
  const packageName = /^(@[^/]+\/)?[^/]+/.exec(specifier)?.[0] ?? specifier;
  if (dependencies.includes(packageName)) return null;
  return `${packageName} is not among the dependencies of packages/${self}/package.json`;
}

/**
 * @param {string} file
 * @param {string} self
 * @param {string} specifier
 */
function relativeObjection(file, self, specifier) {
  if (!specifier.endsWith('.ts')) return `${specifier} lacks the extension .ts`;
  const resolved = new URL(specifier, `file:///${file}`).pathname.slice(1);
  if (resolved.startsWith(`packages/${self}/src/`)) return null;
  return `${specifier} leaves packages/${self}/src`;
}

/**
 * @param {string} self
 * @param {string} specifier
 * @param {ImportRecord} record
 */
function builtinObjection(self, specifier, record) {
  if (self === 'core') return 'core imports nothing at all';
  // io is the door itself; who else may import a module that reaches the outside is decided in ambient.mjs.
  if (self === 'io' || pureBuiltins.has(specifier)) return null;
  const pure = pureNames.get(specifier);
  if (pure === undefined) return null;
  const names = /^(?:type\s+)?\{([^}]*)\}$/.exec(record.clause)?.[1];
  if (names === undefined) return `${specifier} is imported by names, so that they can be judged`;
  for (const name of names.split(',').map((part) => part.trim().split(/\s/)[0] ?? '')) {
    if (name !== '' && !pure.has(name)) return `${name} of ${specifier} is not a pure computation`;
  }
  return null;
}

/**
 * Built-in modules that a source imports and that reach the outside; ambient.mjs decides who may.
 * @param {string} source
 * @returns {ImportRecord[]}
 */
export function outsideImportsOf(source) {
  return importsOf(source).filter(
    ({ specifier }) =>
      specifier !== null &&
      isBuiltin(specifier) &&
      !pureBuiltins.has(specifier) &&
      !pureNames.has(specifier),
  );
}

/** Built-ins are known by their prefix or, written without it, by not being a dependency that could be called so. */
const bareBuiltins =
  /^(?:async_hooks|child_process|cluster|crypto|dgram|dns|fs|http2?|https|inspector|module|net|os|perf_hooks|process|readline|repl|stream|timers|tls|v8|vm|worker_threads)(?:\/|$)/;

/** @param {string} specifier */
function isBuiltin(specifier) {
  return specifier.startsWith('node:') || bareBuiltins.test(specifier);
}
