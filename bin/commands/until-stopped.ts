/** Resolves at the first SIGINT or SIGTERM, or when `stop` or `fail` is called; a second signal ends the process at once. */
export function untilStopped(): { stopped: Promise<NodeJS.Signals | 'done' | 'failed'>; stop: () => void; fail: () => void } {
  const { promise, resolve } = Promise.withResolvers<NodeJS.Signals | 'done' | 'failed'>();
  let asked = false;
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => {
      if (asked) process.exit(130);
      asked = true;
      resolve(signal);
    });
  }
  return { stopped: promise, stop: () => resolve('done'), fail: () => resolve('failed') };
}
