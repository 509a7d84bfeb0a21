import net from 'node:net';
import { describe, expect, it } from 'vitest';
import { choosePort, isFree } from '#runtime/database/embedded/free-port.ts';
import { virtualHost } from '#runtime/simulation/virtual-host.ts';

describe('choosePort', () => {
  it('takes the wanted port while it is free, else another one below the outgoing ranges', async () => {
    const host = virtualHost(5);
    const wanted = await choosePort(host, null);
    expect(await choosePort(host, wanted)).toBe(wanted);
    const taken = net.createServer().listen(wanted, '127.0.0.1');
    await new Promise((resolve) => taken.once('listening', resolve));
    expect(await isFree(wanted)).toBe(false);
    const other = await choosePort(host, wanted);
    expect(other).not.toBe(wanted);
    expect(other).toBeGreaterThanOrEqual(15_000);
    expect(other).toBeLessThan(32_000);
    await new Promise((resolve) => taken.close(resolve));
  });
});
