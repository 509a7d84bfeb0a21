import { getLlama } from 'node-llama-cpp';

/** Loads the native library as the agent does, says what it computes with, and ends. */
const { gpu } = await getLlama({ gpu: 'auto', build: 'never', skipDownload: true, progressLogs: false });
process.stdout.write(JSON.stringify({ gpu }), () => process.exit(0));
