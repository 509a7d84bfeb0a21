import type { ModelDelivery } from '#actors/contract/agent-link.ts';
import type { GenerationRequest, ModelTask } from '#actors/contract/generation.ts';
import { protocol, tell } from '#runtime/kernel/protocol.ts';
import type { Ref } from '#runtime/kernel/ref.ts';

/** The models that this machine serves: one inference host process for each that is loaded. */
export const ModelsProtocol = protocol('agent-models', {
  load: tell<{ model: string; sha256: string; file?: ModelDelivery | undefined }>(),
  unload: tell<string>(),
  generate: tell<{ generation: string; model: string; request: GenerationRequest; note: string | undefined; receipt: boolean }>(),
  compute: tell<{ generation: string; model: string; task: ModelTask }>(),
  cancel: tell<string>(),
  /** The session that asked for them is over: nobody waits for what is being generated, but for what has a log. */
  abandon: tell(),
});
export type ModelsRef = Ref<typeof ModelsProtocol>;
