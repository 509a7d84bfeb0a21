import type { RunCommand } from '#actors/contract/agent-link.ts';
import type { GenerationRequest } from '#actors/contract/generation.ts';

/** The feature of an agent that understands all of contract/generation.ts. */
export const GENERATION_2 = 'generation-2';

/** What agents say that sign their answers and audit those of others. */
export const RECEIPTS = 'receipts';

const FIRST_VERSION = new Set(['messages', 'sampling', 'maxTokens', 'temperature', 'topP', 'seed', 'stop']);

/**
 * A request as an agent can read it: older agents know a few fields and end the session over any other. Null when what they do
 * not know matters to the answer.
 */
export function inItsWords(request: GenerationRequest, features: ReadonlySet<string>): GenerationRequest | null {
  if (features.has(GENERATION_2)) return request;
  // Where the answer could go on with the same draws is no concern of an agent that cannot take one over.
  const { seedPerPosition: _seedPerPosition, ...sampling } = request.sampling;
  const { priority: _priority, ...plain } = { ...request, sampling };
  const given = Object.entries({ ...plain, ...sampling }).filter(([, value]) => value !== undefined);
  return given.every(([name]) => FIRST_VERSION.has(name)) ? plain : null;
}

/** What agents say that make checkpoints of their attempts. */
const CHECKPOINTS = 'checkpoints';

/** A command as an agent can read it: one that makes no checkpoints gets no order for them, and begins every shard anew. */
export function commandInItsWords(command: RunCommand, features: ReadonlySet<string>): RunCommand {
  const { checkpoint: _checkpoint, ...plain } = command;
  return features.has(CHECKPOINTS) ? command : plain;
}
