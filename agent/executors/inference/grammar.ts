import { type Llama, LlamaGrammar, LlamaGrammarEvaluationState, type LlamaModel, type Token } from 'node-llama-cpp';

/** Where an answer stands in its grammar. */
export interface GrammarState {
  /** For the engine's sampler, which moves it on with each token that it samples. */
  readonly state: LlamaGrammarEvaluationState;
  /** Moves on by a token that somebody else chose. @throws Error when the token cannot stand there */
  accept(token: number): void;
  /** Whether the token can stand there. */
  allows(token: number): boolean;
}

/**
 * Compiles a grammar (GBNF). Compiled once for each text and kept: a schema is used by many requests.
 *
 * @throws Error when it is none
 */
export function createGrammars(llama: Llama, model: LlamaModel): (text: string) => GrammarState {
  const compiled = new Map<string, LlamaGrammar>();
  return (text) => {
    let grammar = compiled.get(text);
    if (grammar === undefined) {
      grammar = new LlamaGrammar(llama, { grammar: text });
      const [oldest] = compiled.keys();
      if (compiled.size >= KEPT && oldest !== undefined) compiled.delete(oldest);
      compiled.set(text, grammar);
    }
    const state = new LlamaGrammarEvaluationState({ model, grammar });
    return {
      state,
      accept: (token) => acceptToken(llama, state, token as Token),
      allows: (token) => allowsToken(llama, state, token as Token),
    };
  };
}

const KEPT = 32;

/** The engine's own way to replay tokens is not part of its API; without it an answer with a grammar cannot go on elsewhere. */
interface Inside {
  readonly _bindings?: {
    readonly AddonSampler?: {
      canBeNextTokenForGrammarEvaluationState?(state: unknown, token: number): boolean;
      acceptGrammarEvaluationStateToken?(state: unknown, token: number): void;
    };
  };
}

function allowsToken(llama: Llama, state: LlamaGrammarEvaluationState, token: Token): boolean {
  const inside = (state as unknown as { _state: unknown })._state;
  return (llama as unknown as Inside)._bindings?.AddonSampler?.canBeNextTokenForGrammarEvaluationState?.(inside, token) === true;
}

function acceptToken(llama: Llama, state: LlamaGrammarEvaluationState, token: Token): void {
  const sampler = (llama as unknown as Inside)._bindings?.AddonSampler;
  const inside = (state as unknown as { _state: unknown })._state;
  // The engine aborts the process when it is made to accept what cannot stand there.
  if (sampler === undefined || !allowsToken(llama, state, token)) throw new Error('the answer so far is not of this grammar');
  sampler.acceptGrammarEvaluationStateToken?.(inside, token);
}
