/** Run as an executor's child would be: tries what such a process must not do, and answers what got through. */
import { spawnSync } from 'node:child_process';
import { appendFileSync, readdirSync, readFileSync, writeFileSync, writeSync } from 'node:fs';
import path from 'node:path';

const [secret = '', input = '', module = ''] = readFileSync(0, 'utf8').split('\n');
/** Each answers whether it got what it wanted; most throw instead. */
const attempts: Record<string, () => boolean> = {
  'read a file': () => readFileSync(secret).length > 0,
  'list a folder': () => readdirSync(path.dirname(secret)).length > 0,
  'write a file': () => writeFileSync(`${secret}-2`, '') === undefined,
  'change the input': () => appendFileSync(input, 'x') === undefined,
  'start a process': () => spawnSync(process.execPath, ['--version']).error === undefined,
  'see the environment': () => Object.keys(process.env).length > 0,
  // oxlint-disable-next-line typescript/no-implied-eval -- that it is refused is what the probe is for
  'make code from text': () => new Function('return true')() === true,
};
const through = Object.entries(attempts).filter(([, attempt]) => {
  try {
    return attempt();
  } catch {
    return false;
  }
});
writeSync(1, JSON.stringify({ through: through.map(([name]) => name), module: readFileSync(module, 'utf8') }));
