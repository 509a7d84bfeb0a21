import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';

import { WebSocket } from 'ws';

import { realHost } from '#runtime/host.ts';
import { generateKeyPair } from '#runtime/identity/keys.ts';
import { createLinkClient, type LinkClient } from '#runtime/link/client.ts';
import { largestFrame } from '#runtime/link/limits.ts';
import { wsSocket } from '#runtime/link/ws-socket.ts';

import { type Benchmark, type Findings, median, rounded } from './benchmark.ts';
import { type BareEnd, createBareEnd } from './link/bare-bodies.ts';
import { bareReceive, bareSend } from './link/bare-codec.ts';
import { counted, createEnd, type End, laneOf } from './link/end.ts';
import { cpuSince, type Message } from './link/envelope.ts';
import { settle } from './link/settle.ts';
import type { Order } from './link-peer.ts';

const MESSAGES_PER_SECOND = 400_000;
const CONTROL_DELAY_MS = 5;
/** How far from its middle the weight of a process may be: flat within ten per cent. */
const FLAT = 0.1;
const SLOWER = 100;

/** The other process. */
interface Peer {
  readonly url: string;
  readonly publicKey: string;
  order<T>(order: Order): Promise<T>;
  stop(): Promise<void>;
}

async function startPeer(): Promise<Peer> {
  const child: ChildProcess = fork(new URL('link-peer.ts', import.meta.url), { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] });
  const [{ port, publicKey }] = (await once(child, 'message')) as [{ port: number; publicKey: string }];
  const waiting = new Map<number, { resolve: (value: unknown) => void; reject: (error: Error) => void }>();
  let ids = 0;
  child.on('message', ({ id, value, error }: { id: number; value?: unknown; error?: string }) => {
    const asked = waiting.get(id);
    waiting.delete(id);
    if (error === undefined) asked?.resolve(value);
    else asked?.reject(new Error(error));
  });
  return {
    url: `ws://127.0.0.1:${port}`,
    publicKey,
    order: <T>(order: Order) =>
      new Promise<T>((resolve, reject) => {
        const id = ++ids;
        waiting.set(id, { resolve: resolve as (value: unknown) => void, reject });
        child.send({ ...order, id });
      }),
    async stop() {
      child.disconnect();
      await once(child, 'exit');
    },
  };
}

interface Linked {
  readonly link: LinkClient<Message>;
  readonly end: End;
  readonly bytes: () => number;
}

async function openLink(peer: Peer): Promise<Linked> {
  let bytes = 0;
  const key = generateKeyPair();
  const opened = Promise.withResolvers<void>();
  const end = createEnd((message) => link.send(message));
  const link = createLinkClient<Message, Message>({
    host: realHost(),
    connect: () =>
      counted(wsSocket(new WebSocket(peer.url, { perMessageDeflate: false, maxPayload: largestFrame() })), (more) => (bytes += more)),
    peer: key.publicKey,
    key,
    serverKey: peer.publicKey,
    hello: () => null,
    decode: (raw) => raw as Message,
    lane: laneOf,
    onOpen: () => opened.resolve(),
    onMessage: end.arrived,
    onRoom: end.hasRoom,
    onSuspended: (reason) => opened.reject(new Error(`the link broke: ${reason}`)),
  });
  await opened.promise;
  return { link, end, bytes: () => bytes };
}

/** CPU microseconds per message at the sending and the receiving process. */
interface Cost {
  readonly tx: number;
  readonly rx: number;
}

async function up(peer: Peer, end: End, count: number): Promise<Cost> {
  const start = process.cpuUsage();
  const received = peer.order<{ cpuUs: number }>({ do: 'receive', count });
  await end.pump(count);
  const { cpuUs } = await received;
  return { tx: cpuSince(start) / count, rx: cpuUs / count };
}

async function down(peer: Peer, end: End, count: number): Promise<Cost> {
  const received = end.receive(count);
  const { cpuUs } = await peer.order<{ cpuUs: number }>({ do: 'pump', count });
  return { tx: cpuUs / count, rx: (await received) / count };
}

async function bareUp(peer: Peer, ws: WebSocket, count: number): Promise<Cost & { readonly bytes: number }> {
  const start = process.cpuUsage();
  const received = peer.order<{ cpuUs: number }>({ do: 'bareReceive', count });
  const bytes = await bareSend(ws, count);
  const { cpuUs } = await received;
  return { tx: cpuSince(start) / count, rx: cpuUs / count, bytes: bytes / count };
}

async function bareDown(peer: Peer, ws: WebSocket, count: number): Promise<Cost> {
  const start = process.cpuUsage();
  const received = bareReceive(ws, count);
  const { cpuUs } = await peer.order<{ cpuUs: number }>({ do: 'bareSend', count });
  await received;
  return { tx: cpuUs / count, rx: cpuSince(start) / count };
}

const perSecond = (us: number): number => 1e6 / us;

function middle(costs: readonly Cost[]): Cost {
  return { tx: median(costs.map(({ tx }) => tx)), rx: median(costs.map(({ rx }) => rx)) };
}

function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Infinity;
}

/** How far the heaviest and the lightest moment are from the middle, as a share of it. */
function swing(weights: readonly number[]): number {
  const around = median(weights);
  return Math.max(...weights.map((weight) => Math.abs(weight - around))) / around;
}

interface Delays {
  readonly idle: readonly number[];
  readonly busy: readonly number[];
  readonly bare: readonly number[];
  /** For each turn what the slowest but one in a hundred took longer beside bodies than on a socket of its own. */
  readonly addedMs: readonly number[];
  readonly bodies: number;
}

/** A second of each in turn, so that whatever else the machine does meets all of them alike. */
/** Of the turns' differences the middle: a turn in which the machine was taken away from one of the two does not move it. */
const added = ({ addedMs }: Delays): number => median(addedMs);

async function measureDelays(peer: Peer, end: End, bare: BareEnd, direction: 'up' | 'down', turns: number): Promise<Delays> {
  const ms = 1_000;
  const take = async (withBodies: boolean): Promise<{ delaysMs: readonly number[]; bodies: number }> => {
    if (direction === 'up') {
      await end.urge(ms, withBodies);
      return peer.order({ do: 'delays' });
    }
    await peer.order({ do: 'urge', ms, withBodies });
    return end.delays();
  };
  const takeBare = async (): Promise<readonly number[]> => {
    if (direction === 'up') {
      await bare.urge(ms);
      return peer.order({ do: 'bareDelays' });
    }
    await peer.order({ do: 'bareUrge', ms });
    return bare.delays();
  };
  await take(true);
  await takeBare();
  const delays = { idle: [] as number[], busy: [] as number[], bare: [] as number[], addedMs: [] as number[], bodies: 0 };
  for (let turn = 0; turn < turns; turn++) {
    delays.idle.push(...(await take(false)).delaysMs);
    const busy = await take(true);
    delays.busy.push(...busy.delaysMs);
    delays.bodies += busy.bodies;
    const plain = await takeBare();
    delays.bare.push(...plain);
    delays.addedMs.push(percentile(busy.delaysMs, 0.99) - percentile(plain, 0.99));
  }
  return delays;
}

export const link: Benchmark = {
  about: 'messages per second and core over a real WebSocket, what waits behind large bodies, and the weight of a slow consumer',

  async run({ quick, note }): Promise<Findings> {
    const count = quick ? 300_000 : 1_000_000;
    const rounds = quick ? 3 : 5;
    const peer = await startPeer();
    const { link: client, end, bytes } = await openLink(peer);
    const openBare = async (name: string): Promise<WebSocket> => {
      const ws = new WebSocket(`${peer.url}/${name}`, { perMessageDeflate: false });
      await once(ws, 'open');
      return ws;
    };
    const bare = await openBare('bare');
    const bodies = await openBare('bodies');
    const urgent = await openBare('urgent');
    const bareEnd = createBareEnd(bodies, urgent);

    note('warming up');
    await up(peer, end, count / 2);
    await down(peer, end, count / 2);
    await bareUp(peer, bare, count / 2);
    await bareDown(peer, bare, count / 2);

    const costs = { up: [] as Cost[], down: [] as Cost[], bareUp: [] as Cost[], bareDown: [] as Cost[] };
    let bareBytes = 0;
    const before = bytes();
    for (let round = 1; round <= rounds; round++) {
      note(`round ${round} of ${rounds}: ${count} messages each way, and as many with the bare codec`);
      costs.up.push(await up(peer, end, count));
      costs.down.push(await down(peer, end, count));
      const plain = await bareUp(peer, bare, count);
      bareBytes = plain.bytes;
      costs.bareUp.push(plain);
      costs.bareDown.push(await bareDown(peer, bare, count));
    }
    // Acknowledgements of what came the other way are part of it.
    const wireBytes = (bytes() - before) / (count * rounds);

    note('control messages beside bodies of 8 MiB');
    const turns = quick ? 3 : 12;
    const delays = {
      up: await measureDelays(peer, end, bareEnd, 'up', turns),
      down: await measureDelays(peer, end, bareEnd, 'down', turns),
    };

    const seconds = quick ? 10 : 60;
    note(`an owner that is ${SLOWER} times slower, for ${seconds} s`);
    const [upCost, downCost, bareUpCost, bareDownCost] = [costs.up, costs.down, costs.bareUp, costs.bareDown].map(middle) as [
      Cost,
      Cost,
      Cost,
      Cost,
    ];
    await peer.order({ do: 'consumeAt', perSecond: perSecond(Math.max(upCost.tx, upCost.rx)) / SLOWER });
    settle();
    await peer.order({ do: 'settle' });
    await end.flood(quick ? 3_000 : 10_000);
    const [ours, theirs] = await Promise.all([
      end.flood(seconds * 1_000),
      peer.order<readonly number[]>({ do: 'weigh', ms: seconds * 1_000 }),
    ]);
    await peer.order({ do: 'consumeAt', perSecond: null });

    for (const ws of [bare, bodies, urgent]) ws.terminate();
    await client.close();
    await peer.stop();

    const figures = {
      upSentPerCoreSecond: perSecond(upCost.tx),
      upReceivedPerCoreSecond: perSecond(upCost.rx),
      downSentPerCoreSecond: perSecond(downCost.tx),
      downReceivedPerCoreSecond: perSecond(downCost.rx),
      /** One core that sends as much as it receives. */
      bothWaysPerCoreSecond: Math.min(perSecond(upCost.tx + downCost.rx), perSecond(downCost.tx + upCost.rx)),
      bareSentPerCoreSecond: perSecond(bareUpCost.tx),
      bareReceivedPerCoreSecond: perSecond(bareUpCost.rx),
      wireBytesPerMessage: wireBytes,
      bareWireBytesPerMessage: bareBytes,
      bodiesUp: delays.up.bodies,
      bodiesDown: delays.down.bodies,
      /** What all but one in a hundred wait longer than those that share no socket with the bodies: two busy event loops are in both. */
      delayUpMs: added(delays.up),
      delayDownMs: added(delays.down),
      controlIdleP50Ms: percentile([...delays.up.idle, ...delays.down.idle], 0.5),
      controlIdleP99Ms: percentile([...delays.up.idle, ...delays.down.idle], 0.99),
      controlIdleMaxMs: percentile([...delays.up.idle, ...delays.down.idle], 1),
      controlUpP50Ms: percentile(delays.up.busy, 0.5),
      controlUpP99Ms: percentile(delays.up.busy, 0.99),
      controlUpMaxMs: percentile(delays.up.busy, 1),
      controlDownP50Ms: percentile(delays.down.busy, 0.5),
      controlDownP99Ms: percentile(delays.down.busy, 0.99),
      controlDownMaxMs: percentile(delays.down.busy, 1),
      bareUpP50Ms: percentile(delays.up.bare, 0.5),
      bareUpP99Ms: percentile(delays.up.bare, 0.99),
      bareUpMaxMs: percentile(delays.up.bare, 1),
      bareDownP50Ms: percentile(delays.down.bare, 0.5),
      bareDownP99Ms: percentile(delays.down.bare, 0.99),
      bareDownMaxMs: percentile(delays.down.bare, 1),
      slowSenderMiB: median(ours) / 2 ** 20,
      slowReceiverMiB: median(theirs) / 2 ** 20,
      slowSenderSwing: swing(ours),
      slowReceiverSwing: swing(theirs),
    };
    const ratios = {
      sendToBare: bareUpCost.tx / upCost.tx,
      receiveToBare: bareUpCost.rx / upCost.rx,
      sendToBareDown: bareDownCost.tx / downCost.tx,
      receiveToBareDown: bareDownCost.rx / downCost.rx,
    };
    const round = (values: Record<string, number>): Record<string, number> =>
      Object.fromEntries(Object.entries(values).map(([name, value]) => [name, rounded(value)]));
    return {
      figures: round(figures),
      ratios: round(ratios),
      targets: {
        upSentPerCoreSecond: { atLeast: MESSAGES_PER_SECOND },
        upReceivedPerCoreSecond: { atLeast: MESSAGES_PER_SECOND },
        downSentPerCoreSecond: { atLeast: MESSAGES_PER_SECOND },
        downReceivedPerCoreSecond: { atLeast: MESSAGES_PER_SECOND },
        delayUpMs: { atMost: CONTROL_DELAY_MS },
        delayDownMs: { atMost: CONTROL_DELAY_MS },
        slowSenderSwing: { atMost: FLAT },
        slowReceiverSwing: { atMost: FLAT },
      },
      absent: {},
    };
  },
};
