// The unit tests with other text in place of some sources: what tools/test-mutants.mjs runs. MUTANT_PLAN names a JSON file
// with the test files and the texts, by absolute path. Nothing is copied and no file is changed.

import { readFileSync } from 'node:fs';
import { defineConfig } from 'vitest/config';
import base from '../../vitest.config.ts';

/** @type {{ include: string[], sources: Record<string, string> }} */
const plan = JSON.parse(readFileSync(process.env['MUTANT_PLAN'] ?? '', 'utf8'));
const { test } = /** @type {import('vitest/config').ViteUserConfig} */ (base);
const unit = test?.projects?.[0];
if (typeof unit !== 'object' || unit instanceof Promise) throw new Error('no unit tests');

export default defineConfig({
  resolve: /** @type {import('vitest/config').ViteUserConfig} */ (unit).resolve ?? {},
  plugins: [
    {
      name: 'planted-bug',
      enforce: 'pre',
      /** @param {string} id */
      load: (id) => plan.sources[id] ?? null,
    },
  ],
  test: { include: plan.include, pool: 'threads', testTimeout: 60_000 },
});
