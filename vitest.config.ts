// Two projects: `unit` runs sources in threads, `system` runs what starts processes (from dist) in forks, one file at a
// time. Every suite is bounded; none depends on the speed of the machine beyond its generous deadline.

import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';

const source = (path: string): string => fileURLToPath(new URL(path, import.meta.url));
const alias = [
  { find: '@flotilla/host/testing', replacement: source('./packages/host/src/testing.ts') },
  { find: /^@flotilla\/([a-z]+)$/, replacement: source('./packages/$1/src/index.ts') },
];

export default defineConfig({
  test: {
    projects: [
      {
        resolve: { alias },
        test: {
          name: 'unit',
          include: [
            'packages/*/test/**/*.{test,prop,scenario,sim}.ts',
            'tools/*/test/**/*.{test,prop}.ts',
            'bench/test/**/*.test.ts',
          ],
          pool: 'threads',
          testTimeout: 60_000,
        },
      },
      {
        test: {
          name: 'system',
          include: ['packages/*/test/**/*.{crash,client}.ts', 'test/**/*.{test,crash,client}.ts'],
          pool: 'forks',
          fileParallelism: false,
          testTimeout: 180_000,
          hookTimeout: 120_000,
        },
      },
    ],
  },
});
