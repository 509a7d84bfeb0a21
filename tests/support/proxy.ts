import { once } from 'node:events';
import { createServer, connect, type AddressInfo, type Socket } from 'node:net';

/** A line between one machine and the grid that can be cut, plugged in again, and gone dead without a word. */
export interface Proxy {
  readonly url: string;
  /** Connections carried at the moment. */
  readonly open: number;
  /** Breaks all connections at once, and all new ones, until `mend`. */
  cut(): void;
  /** As a router that forgot: connections stay open, new ones are taken, and not a byte passes, until `mend`. */
  swallow(): void;
  /** New connections pass again. What was swallowed is lost, and so is its connection, as after a real outage. */
  mend(): void;
  close(): Promise<void>;
}

interface Line {
  readonly near: Socket;
  readonly far: Socket;
}

export async function startProxy(target: string): Promise<Proxy> {
  const { hostname, port } = new URL(target);
  const lines = new Set<Line>();
  let state: 'passing' | 'cut' | 'swallowing' = 'passing';

  function end(line: Line): void {
    lines.delete(line);
    line.near.destroy();
    line.far.destroy();
  }

  const server = createServer((near) => {
    if (state === 'cut') return void near.resetAndDestroy();
    const line: Line = { near, far: connect(Number(port), hostname) };
    lines.add(line);
    carry(line, line.near, line.far);
    carry(line, line.far, line.near);
    if (state === 'swallowing') deaden(line);
  });

  /** One direction. A line that is dead reads on and passes nothing, so neither end notices. */
  function carry(line: Line, from: Socket, to: Socket): void {
    from.on('data', (chunk: Buffer) => {
      if (!dead.has(line)) to.write(chunk);
    });
    // A dead line also keeps the other end's goodbye to itself.
    from.on('end', () => void (dead.has(line) || to.end()));
    from.on('close', () => void (dead.has(line) || end(line)));
    from.on('error', () => undefined);
  }
  const dead = new WeakSet<Line>();
  function deaden(line: Line): void {
    dead.add(line);
  }

  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port: own } = server.address() as AddressInfo;

  return {
    url: `http://127.0.0.1:${own}`,
    get open() {
      return lines.size;
    },
    cut() {
      state = 'cut';
      for (const line of lines) end(line);
    },
    swallow() {
      state = 'swallowing';
      for (const line of lines) deaden(line);
    },
    mend() {
      state = 'passing';
    },
    async close() {
      state = 'cut';
      for (const line of lines) end(line);
      server.close();
      await once(server, 'close');
    },
  };
}
