import { constants, setPriority } from 'node:os';
import { fileURLToPath } from 'node:url';
import { MessageChannel } from 'node:worker_threads';

import { type Remote, wrap } from 'comlink';
import { Piscina } from 'piscina';

import { type FromHost, type LoadOptions, shortReason, type ToHost } from './host-protocol.ts';
import type { WorkerControl, WorkerPorts } from './inference-worker.main.ts';

/**
 * The process of one loaded model. Its main thread only hands messages on between the agent (IPC) and the one thread with
 * the engine, so that it always has time to notice that the agent is gone.
 *
 * The thread is never ended while the engine works, because that aborts the whole process. Either all work has been drained
 * before (`unload`), or the process ends as a whole by SIGKILL.
 */

const tellAgent = (message: FromHost, then: () => void = () => {}): void => {
  // Without a channel there is no agent, and `disconnect` is about to say so.
  if (process.connected) process.send?.(message, () => then());
};

const endAtOnce = (): void => {
  process.kill(process.pid, 'SIGKILL');
};

process.on('disconnect', endAtOnce);
process.on('uncaughtException', (error) => tellAgent({ type: 'defect', reason: shortReason(error) }, endAtOnce));
process.on('unhandledRejection', (error) => tellAgent({ type: 'defect', reason: shortReason(error) }, endAtOnce));

// Somebody may be working at this machine.
setPriority(constants.priority.PRIORITY_BELOW_NORMAL);

const pool = new Piscina({
  filename: fileURLToPath(new URL('./inference-worker.main.ts', import.meta.url)),
  name: 'serve',
  minThreads: 1,
  maxThreads: 1,
  idleTimeout: Infinity,
  concurrentTasksPerWorker: 64,
  // The worker has timers and native callbacks of its own; it must not sleep on an Atomics.wait between tasks.
  atomics: 'disabled',
  recordTiming: false,
});

const controlChannel = new MessageChannel();
const streamChannel = new MessageChannel();
const ports: WorkerPorts = { control: controlChannel.port2, stream: streamChannel.port2 };
const served = pool.run(ports, { transferList: [ports.control, ports.stream] });
const stream = streamChannel.port1;
// Node's ports are event targets, which is all that comlink uses.
const control: Remote<WorkerControl> = wrap<WorkerControl>(controlChannel.port1);

stream.on('message', (message: FromHost) => tellAgent(message, message.type === 'defect' ? endAtOnce : undefined));

async function load(options: LoadOptions): Promise<void> {
  try {
    tellAgent({ type: 'estimated', memoryBytes: await control.estimate(options) });
    await control.load(options);
    const { memoryBytes, contextSize } = await control.stats();
    tellAgent({ type: 'loaded', memoryBytes, contextSize });
  } catch (error) {
    tellAgent({ type: 'loadFailed', reason: shortReason(error) });
  }
}

async function unload(): Promise<void> {
  await control.unload();
  controlChannel.port1.close();
  await served;
  await pool.destroy();
  tellAgent({ type: 'unloaded' }, () => process.exit(0));
}

process.on('message', (message: ToHost) => {
  if (message.type === 'load') void load(message.options);
  else if (message.type === 'unload') void unload();
  else stream.postMessage(message);
});
