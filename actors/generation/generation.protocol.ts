import type { FromAgent } from '#actors/contract/agent-link.ts';
import type { DeviceRef } from '#actors/device/device.protocol.ts';
import type { ModelPoolRef } from '#actors/model-pool/model-pool.protocol.ts';
import type { GridError } from '#runtime/errors.ts';
import { protocol, tell } from '#runtime/kernel/protocol.ts';
import type { Ref } from '#runtime/kernel/ref.ts';

type Message<T extends FromAgent['type']> = Omit<Extract<FromAgent, { type: T }>, 'type'>;

/** One open completion: lives where the client's connection ends, owns the token log. */
export const GenerationProtocol = protocol('generation', {
  /** From the ModelPoolActor: where to generate, or why nowhere. */
  replica: tell<{ device: string; ref: DeviceRef; pool: ModelPoolRef }>(),
  noReplica: tell<GridError>(),
  tokens: tell<Message<'tokens'>>(),
  values: tell<Message<'values'>>(),
  ended: tell<Message<'generationEnded'>>(),
  /**
   * The attempt of that name should go on elsewhere: its device does not answer or is wanted back. It goes on where it is until
   * another replica is found.
   */
  leave: tell<string>(),
  /** From the ModelPoolActor: another key's turn has come. The generation gives its slot up and queues again. */
  preempt: tell(),
  /** The device of that attempt answers again. */
  back: tell<string>(),
  cancel: tell(),
});
// An interface, because refs of actors that know each other may name each other only lazily.
export interface GenerationRef extends Ref<typeof GenerationProtocol> {}
