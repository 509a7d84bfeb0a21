/**
 * Flags of Node for a command of the CLI. Plain JavaScript, as with-node.js is.
 *
 * A coordinator makes much that is garbage a moment later: actors, messages and rows of each shard. With the usual 16 MiB of young
 * space too much of it lives to be copied; 64 MiB save a tenth of the coordinator's processor time (docs/dispatch.md).
 * @param {readonly string[]} args the command and its arguments
 * @returns {string[]}
 */
export function nodeFlags([command]) {
  return command === 'up' ? ['--max-semi-space-size=64'] : [];
}
