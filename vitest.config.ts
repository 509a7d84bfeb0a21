import { defineConfig } from 'vitest/config';

// Four projects, from quick to slow. Unit and contract files share a process; what starts processes gets one of its own.
export default defineConfig({
  test: {
    reporters: ['default'],
    projects: [
      {
        test: {
          name: 'unit',
          include: ['tests/unit/**/*.test.ts', 'tests/simulation/**/*.test.ts'],
          exclude: ['tests/unit/ui/**'],
          isolate: false,
          testTimeout: 20_000,
        },
      },
      { test: { name: 'ui', include: ['tests/unit/ui/**/*.test.ts'], testTimeout: 20_000 } },
      { test: { name: 'contract', include: ['tests/contract/**/*.test.ts'], testTimeout: 60_000, hookTimeout: 60_000 } },
      {
        test: {
          name: 'integration',
          include: [
            'tests/integration/**/*.test.ts',
            'tests/conformance/**/*.test.ts',
            'tests/faults/**/*.test.ts',
            'tests/e2e/**/*.test.ts',
            'tests/architecture/**/*.test.ts',
          ],
          testTimeout: 120_000,
          hookTimeout: 120_000,
          fileParallelism: false,
        },
      },
    ],
  },
});
