import { setTimeout as sleep } from 'node:timers/promises';

/** Waits for something outside this process (another process, a file, a server). @throws after `withinMs`, naming `what` */
export async function waitUntil(what: string, check: () => boolean | Promise<boolean>, withinMs = 20_000): Promise<void> {
  const deadline = performance.now() + withinMs;
  while (!(await check())) {
    if (performance.now() > deadline) throw new Error(`waited ${withinMs} ms in vain until ${what}`);
    await sleep(20);
  }
}
