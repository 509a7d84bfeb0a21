import type { LlamaModel, Token } from 'node-llama-cpp';

import { tokensDigestOf } from '#actors/contract/answer-receipt.ts';
import type { GenerationRequest } from '#actors/contract/generation.ts';
import { sha256 } from '#runtime/identity/digest.ts';
import type { Host } from '#runtime/kernel/host.ts';

import { Credit } from './credit.ts';
import type { LoadedModel } from './engine.ts';
import type { Evaluating } from './evaluating.ts';
import { runGeneration } from './generation-run.ts';
import type { GrammarState } from './grammar.ts';
import { Failure } from './failure.ts';
import { type ComputeCommand, type FromHost, type GenerateCommand, type GenerationEnd, shortReason } from './host-protocol.ts';
import { SequencePool } from './sequence-pool.ts';
import { runTask } from './task-run.ts';
import { createTokenBatcher } from './token-batcher.ts';

/**
 * The generations of one loaded model.
 *
 * A generation is waiting (its model has a sequence for it when another ends) or running, and ends exactly once: by itself,
 * by failing, or cancelled. The highest priority first and then first come, first served; beyond `WAITING` it is turned away at
 * once. A deterministic one runs alone: what is in a batch beside it would change how its own numbers add up.
 */
const WAITING = 1024;

/** A generation, or a task: both take a sequence for as long as they run. */
type Command = GenerateCommand | ComputeCommand;

interface Generation {
  readonly command: Command;
  readonly credit: Credit;
  readonly cancel: AbortController;
}

function priorityOf({ command }: Generation): number {
  return 'request' in command ? (command.request.priority ?? 0) : 0;
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
  readonly #pool: SequencePool;
  #running = 0;
  /** One runs that wants the batch for itself. */
  #alone = false;
  #onIdle: (() => void) | undefined;

  constructor(options: GenerationsOptions) {
    this.#options = options;
    this.#pool = new SequencePool(options.loaded.context, options.loaded.options.sequences);
  }

  get running(): number {
    return this.#running;
  }

  get waiting(): number {
    return this.#waiting.length;
  }

  enqueue(command: Command): void {
    const generation: Generation = { command, credit: new Credit('credit' in command ? command.credit : 0), cancel: new AbortController() };
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
    this.#queue(generation);
    this.#options.send({ type: 'accepted', id: command.id });
    this.#startNext();
    // The agent's watchdog has been waiting since it sent the command.
    this.#options.evaluating.report();
  }

  /** Behind all of its priority, before all of a lower one. */
  #queue(generation: Generation): void {
    const priority = priorityOf(generation);
    const place = this.#waiting.findIndex((other) => priorityOf(other) < priority);
    if (place < 0) this.#waiting.push(generation);
    else this.#waiting.splice(place, 0, generation);
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
    while (!this.#alone && this.#running < this.#options.loaded.options.sequences) {
      const [next] = this.#waiting;
      if (next === undefined) return;
      const alone = 'request' in next.command && next.command.request.deterministic === true;
      // Nobody overtakes it: it would wait for ever beside a busy queue.
      if (alone && this.#running > 0) return;
      this.#waiting.shift();
      this.#running += 1;
      this.#alone = alone;
      const { command } = next;
      void ('task' in command ? this.#compute(command, next.cancel.signal) : this.#run(command, next)).then((end) => {
        this.#running -= 1;
        this.#alone = false;
        this.#end(command.id, end);
        this.#startNext();
        if (this.#running === 0) this.#onIdle?.();
      });
    }
  }

  #end(id: string, end: GenerationEnd): void {
    this.#all.delete(id);
    this.#options.send({ type: 'ended', id, end });
  }

  #prompt({ messages, prompt, toolUse, resume }: Pick<GenerationRequest, 'messages' | 'prompt' | 'toolUse' | 'resume'>): Token[] {
    const { template, options, model } = this.#options.loaded;
    const tokens = prompt === undefined ? written(() => template.prompt(messages ?? [], toolUse)) : plainPrompt(model, prompt);
    if (tokens.length === 0) throw new Failure('PROMPT', 'The prompt is empty.');
    const length = tokens.length + (resume?.tokens.length ?? 0);
    checkTokens(model, resume?.tokens ?? []);
    if (length < options.contextSize) return tokens;
    throw new Failure(
      'CONTEXT_LENGTH',
      `The prompt has ${tokens.length} tokens and the model's context holds ${options.contextSize}, the answer included.`,
      tokens.length,
    );
  }

  #grammar(text: string | undefined): GrammarState | undefined {
    if (text === undefined) return undefined;
    try {
      return this.#options.loaded.grammar(text);
    } catch (error) {
      throw new Failure('GRAMMAR', `The grammar cannot be compiled: ${shortReason(error)}`);
    }
  }

  /** Never rejects. */
  async #compute({ id, task }: ComputeCommand, cancelled: AbortSignal): Promise<GenerationEnd> {
    const { loaded, evaluating, send } = this.#options;
    let promptTokens = 0;
    try {
      return await runTask(task, {
        loaded,
        pool: this.#pool,
        promptOf: (asked) => this.#prompt(asked),
        grammarOf: (text) => this.#grammar(text),
        cancelled,
        evaluating: (work) => evaluating.during(work),
        count: (tokens) => (promptTokens += tokens),
        values: (values) => send({ type: 'values', id, values }),
      });
    } catch (error) {
      const code = error instanceof Failure ? error.code : 'ENGINE';
      return { outcome: 'failed', code, reason: shortReason(error), promptTokens, completionTokens: 0 };
    }
  }

  /** Never rejects. */
  async #run(command: GenerateCommand, { credit, cancel }: Generation): Promise<GenerationEnd> {
    const { host, loaded, evaluating, send } = this.#options;
    const { request } = command;
    const before = request.resume?.tokens.length ?? 0;
    let promptTokens = 0;
    let completionTokens = before;
    const batcher = createTokenBatcher(
      host,
      (batch) => {
        completionTokens = batch.from + batch.ids.length;
        send({ type: 'tokens', id: command.id, ...batch });
      },
      before,
    );
    try {
      const prompt = this.#prompt(request);
      promptTokens = prompt.length;
      const grammar = this.#grammar(request.grammar);
      const during = <T>(work: Promise<T>): Promise<T> => evaluating.during(work);
      const pool = this.#pool;
      const result = await runGeneration({
        loaded, pool, prompt, grammar, request, credit, batcher, cancelled: cancel.signal, evaluating: during,
      }); // prettier-ignore
      return { ...result, promptTokens, proof: { prompt: tokensDigestOf(prompt, sha256), ...loaded.origin } };
    } catch (error) {
      batcher.flush();
      const code = error instanceof Failure ? error.code : 'ENGINE';
      if (error instanceof Failure) promptTokens = error.promptTokens;
      return { outcome: 'failed', code, reason: shortReason(error), promptTokens, completionTokens };
    }
  }
}

/** Runs the model's chat template. */
function written(prompt: () => Token[]): Token[] {
  try {
    return prompt();
  } catch (error) {
    throw new Failure('PROMPT', `The model's chat template refuses the messages: ${shortReason(error)}`);
  }
}

function plainPrompt(model: LlamaModel, prompt: string | readonly number[]): Token[] {
  if (typeof prompt !== 'string') return checkTokens(model, prompt);
  const tokens = model.tokenize(prompt);
  const { bos, shouldPrependBosToken } = model.tokens;
  return shouldPrependBosToken && bos !== null && tokens[0] !== bos ? [bos, ...tokens] : tokens;
}

/** The engine reads behind its tables for a token that the model does not have. */
function checkTokens(model: LlamaModel, tokens: readonly number[]): Token[] {
  const count = model.fileInfo.metadata.tokenizer?.ggml?.tokens.length ?? 0;
  const bad = tokens.find((token) => token >= count);
  if (bad !== undefined) throw new Failure('PROMPT', `The model has ${count} tokens, and ${bad} is none of them.`);
  return [...tokens] as Token[];
}
