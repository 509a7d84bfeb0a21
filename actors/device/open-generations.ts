import type { FromAgent, ToAgent } from '#actors/contract/agent-link.ts';
import type { GenerationFailure } from '#actors/contract/generation.ts';
import type { GenerationRef } from '#actors/generation/generation.protocol.ts';

type Report = Extract<FromAgent, { type: 'tokens' | 'values' | 'generationEnded' }>;
type Command = Extract<ToAgent, { type: 'generate' | 'compute' }>;

/** The generations and tasks of one device: whose they are, and how their news get there. */
export class OpenGenerations {
  readonly #open = new Map<string, { readonly owner: GenerationRef; readonly model: string }>();
  readonly #onUse: (model: string, by: 1 | -1) => void;

  /** @param onUse one of a model begins, or ends */
  constructor(onUse: (model: string, by: 1 | -1) => void) {
    this.#onUse = onUse;
  }

  get size(): number {
    return this.#open.size;
  }

  /** @param command says whether it went on its way */
  begin(owner: GenerationRef, message: Command, command: (message: Command) => boolean): void {
    const { generation, model } = message;
    this.add(generation, owner, model);
    if (command(message)) return;
    this.close(generation);
    refuse(generation, owner, 'DEVICE_LOST', 'the device is not reachable');
  }

  /** It runs already. */
  add(generation: string, owner: GenerationRef, model: string): void {
    this.#open.set(generation, { owner, model });
    this.#onUse(model, 1);
  }

  close(generation: string): void {
    const known = this.#open.get(generation);
    if (this.#open.delete(generation) && known !== undefined) this.#onUse(known.model, -1);
  }

  report(message: Report): void {
    const { generation } = message;
    const owner = this.#open.get(generation)?.owner;
    if (message.type === 'tokens') owner?.tokens(message);
    else if (message.type === 'values') owner?.values(message);
    else {
      owner?.ended(message);
      this.close(generation);
    }
  }

  /** They go on elsewhere, where there is an elsewhere. */
  sendAway(): void {
    for (const [generation, { owner }] of this.#open) owner.leave(generation);
  }

  /** They may stay after all. */
  back(): void {
    for (const [generation, { owner }] of this.#open) owner.back(generation);
  }

  lost(): void {
    for (const [generation, { owner }] of this.#open) refuse(generation, owner, 'DEVICE_LOST', 'the device was lost');
  }
}

export function refuse(generation: string, owner: GenerationRef, code: GenerationFailure, reason: string): void {
  owner.ended({ generation, outcome: 'failed', promptTokens: 0, completionTokens: 0, code, reason, retryable: true });
}
