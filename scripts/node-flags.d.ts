/** Flags of Node for a command of the CLI: the types of `node-flags.js`. */
export function nodeFlags(args: readonly string[]): string[];
