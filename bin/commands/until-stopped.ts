/** Resolves at the first SIGINT or SIGTERM, or when `stop` is called; a second signal ends the process at once. */
export function untilStopped(): { stopped: Promise<NodeJS.Signals | 'done'>; stop(): void } {
  const { promise, resolve } = Promise.withResolvers<NodeJS.Signals | 'done'>();
  let asked = false;
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => {
      if (asked) process.exit(130);
      asked = true;
      resolve(signal);
    });
  }
  return { stopped: promise, stop: () => resolve('done') };
}
