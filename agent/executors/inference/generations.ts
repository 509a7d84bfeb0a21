import type { GenerationFailure, GenerationRequest } from '#actors/contract/generation.ts';
import type { Host } from '#runtime/kernel/host.ts';

import { Credit } from './credit.ts';
import type { LoadedModel } from './engine.ts';
import type { Evaluating } from './evaluating.ts';
import { runGeneration } from './generation-run.ts';
import { type FromHost, type GenerateCommand, type GenerationEnd, shortReason } from './host-protocol.ts';
import { createTokenBatcher } from './token-batcher.ts';

/**
 * The generations of one loaded model.
 *
 * A generation is waiting (its model has a sequence for it when another ends) or running, and ends exactly once: by itself,
 * by failing, or cancelled. First come, first served; beyond `WAITING` it is turned away at once.
 */
const WAITING = 1024;

interface Generation {
  readonly command: GenerateCommand;
  readonly credit: Credit;
  readonly cancel: AbortController;
}

const SERVED = new Set(['messages', 'sampling', 'priority', 'maxTokens', 'temperature', 'topP', 'seed', 'stop']);

/** Asks for more than this engine does: better refused than answered wrongly. */
function isBeyond(request: GenerationRequest): boolean {
  return Object.entries({ ...request, ...request.sampling }).some(([name, value]) => value !== undefined && !SERVED.has(name));
}

class Failure extends Error {
  readonly code: GenerationFailure;
  readonly promptTokens: number;

  constructor(code: GenerationFailure, message: string, promptTokens = 0) {
    super(message);
    this.code = code;
    this.promptTokens = promptTokens;
  }
}

export interface GenerationsOptions {
  readonly host: Host;
  readonly loaded: LoadedModel;
  readonly evaluating: Evaluating;
  readonly send: (message: FromHost) => void;
}

export class Generations {
  readonly #options: GenerationsOptions;
  readonly #all = new Map<string, Generation>();
  readonly #waiting: Generation[] = [];
  #running = 0;
  #onIdle: (() => void) | undefined;

  constructor(options: GenerationsOptions) {
    this.#options = options;
  }

  get running(): number {
    return this.#running;
  }

  get waiting(): number {
    return this.#waiting.length;
  }

  generate(command: GenerateCommand): void {
    const generation: Generation = { command, credit: new Credit(command.credit), cancel: new AbortController() };
    if (this.#waiting.length >= WAITING) {
      this.#end(command.id, {
        outcome: 'failed',
        code: 'BUSY',
        reason: `${WAITING} generations wait for this model already`,
        promptTokens: 0,
        completionTokens: 0,
      });
      return;
    }
    this.#all.set(command.id, generation);
    this.#waiting.push(generation);
    this.#options.send({ type: 'accepted', id: command.id });
    this.#startNext();
    // The agent's watchdog has been waiting since it sent the command.
    this.#options.evaluating.report();
  }

  credit(id: string, tokens: number): void {
    this.#all.get(id)?.credit.grant(tokens);
  }

  cancel(id: string): void {
    const generation = this.#all.get(id);
    if (generation === undefined) return;
    generation.cancel.abort();
    generation.credit.close();
    const place = this.#waiting.indexOf(generation);
    if (place < 0) return;
    this.#waiting.splice(place, 1);
    this.#end(id, { outcome: 'cancelled', promptTokens: 0, completionTokens: 0 });
  }

  /** Cancels what there is and resolves when the last one has let go of its sequence. */
  async drain(): Promise<void> {
    // Cancelling one that waits removes it, which a map's iterator is made for.
    for (const id of this.#all.keys()) this.cancel(id);
    if (this.#running === 0) return;
    await new Promise<void>((resolve) => {
      this.#onIdle = resolve;
    });
  }

  #startNext(): void {
    while (this.#running < this.#options.loaded.options.sequences) {
      const next = this.#waiting.shift();
      if (next === undefined) return;
      this.#running += 1;
      void this.#run(next).then((end) => {
        this.#running -= 1;
        this.#end(next.command.id, end);
        this.#startNext();
        if (this.#running === 0) this.#onIdle?.();
      });
    }
  }

  #end(id: string, end: GenerationEnd): void {
    this.#all.delete(id);
    this.#options.send({ type: 'ended', id, end });
  }

  #prompt(command: GenerateCommand): ReturnType<LoadedModel['template']['prompt']> {
    const { template, options } = this.#options.loaded;
    try {
      const { messages } = command.request;
      if (messages === undefined || isBeyond(command.request))
        throw new Failure('UNSUPPORTED', 'This engine does not serve such requests yet.');
      const prompt = template.prompt(messages);
      if (prompt.length === 0) throw new Error('the chat template makes no prompt of these messages');
      if (prompt.length < options.contextSize) return prompt;
      throw new Failure(
        'CONTEXT_LENGTH',
        `The prompt has ${prompt.length} tokens and the model's context holds ${options.contextSize}, the answer included.`,
        prompt.length,
      );
    } catch (error) {
      throw error instanceof Failure
        ? error
        : new Failure('PROMPT', `The model's chat template refuses the messages: ${shortReason(error)}`);
    }
  }

  /** Never rejects. */
  async #run({ command, credit, cancel }: Generation): Promise<GenerationEnd> {
    const { host, loaded, evaluating, send } = this.#options;
    let promptTokens = 0;
    let completionTokens = 0;
    const batcher = createTokenBatcher(host, (batch) => {
      completionTokens = batch.from + batch.ids.length;
      send({ type: 'tokens', id: command.id, ...batch });
    });
    try {
      const prompt = this.#prompt(command);
      promptTokens = prompt.length;
      const { contextSize } = loaded.options;
      const { model, context, template } = loaded;
      const { stopTokens, stopTexts } = template;
      const { sampling } = command.request;
      const during = <T>(work: Promise<T>): Promise<T> => evaluating.during(work);
      const result = await runGeneration({
        model, context, prompt, sampling, contextSize, stopTokens, stopTexts, credit, batcher, cancelled: cancel.signal, evaluating: during,
      }); // prettier-ignore
      return { ...result, promptTokens };
    } catch (error) {
      batcher.flush();
      const code = error instanceof Failure ? error.code : 'ENGINE';
      if (error instanceof Failure) promptTokens = error.promptTokens;
      return { outcome: 'failed', code, reason: shortReason(error), promptTokens, completionTokens };
    }
  }
}
