import { bare, programs, type ProgramName, type Run } from './bare.mjs';
import { bareAsks, bytesPerIdleActor, millionActors, ourAsks, runOurs, runTraced } from './ours.ts';
import { PEERS, type PeerName } from './peers.ts';

/** One cell of the table in a process of its own: `cell.ts COLUMN PROGRAM SCALE` prints one number, mostly millions per CPU second. */

const [, , column = '', name = '', scaleText = '1'] = process.argv;
const scale = Number(scaleText);

const rate = ({ n, ms }: Run): number => n / ms / 1_000;

async function peer(peerName: PeerName, program: ProgramName): Promise<number> {
  const runtime = await PEERS[peerName]();
  // A whole number of messages at every scale: most programs end with exactly the last one.
  await programs[program](runtime, scale / 5);
  return rate(await programs[program](runtime, scale));
}

async function measure(): Promise<number> {
  if (name === 'ask') return rate(await (column === 'bare' ? bareAsks(scale) : ourAsks(scale)));
  if (name === 'idle') return bytesPerIdleActor(scale);
  if (name === 'million') return millionActors(scale);
  const program = name as ProgramName;
  if (column === 'ours') return rate(await runOurs(program, scale));
  if (column === 'traced') return rate(await runTraced(program, scale));
  if (column !== 'bare') return peer(column as PeerName, program);
  await programs[program](bare, scale);
  return rate(await programs[program](bare, scale));
}

process.stdout.write(`${await measure()}\n`);
process.exit(0);
