/** A stand-in for an agent: runs one attempt for ever, until somebody ends this process. Arguments: MODULE INPUT OUTPUT. */
import { createWasmExecutor } from '#agent/executors/wasm/wasm-executor.ts';
import { realHost } from '#runtime/host.ts';

const [modulePath = '', inputPath = '', outputPath = ''] = process.argv.slice(2);
const limits = { memoryMiB: 16, timeoutSeconds: 3600, outputMiB: 1 };
const result = await createWasmExecutor(realHost()).run({
  modulePath,
  args: [],
  inputPath,
  outputPath,
  limits,
  signal: new AbortController().signal,
});
throw new Error(`the attempt ended: ${JSON.stringify(result)}`);
