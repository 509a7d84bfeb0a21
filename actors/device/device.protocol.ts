import type { FromAgent, ModelDelivery, RunCommand } from '#actors/contract/agent-link.ts';
import type { GenerationRequest, ModelTask } from '#actors/contract/generation.ts';
import type { DeviceSummary } from '#actors/contract/live.ts';
import type { Fence, SignedRequest } from '#actors/contract/primitives.ts';
import type { GenerationRef } from '#actors/generation/generation.protocol.ts';
import type { ModelPoolRef } from '#actors/model-pool/model-pool.protocol.ts';
import { ask, protocol, tell } from '#runtime/kernel/protocol.ts';
import type { Ref } from '#runtime/kernel/ref.ts';

/**
 * One session of one device. Born when its agent's link opens, ended when the link's session is closed for good, so
 * whoever watches it learns that the device is gone. Commands go down to the agent, votes come up.
 */
export const DeviceProtocol = protocol('device', {
  /** From placement: this lease took one of the granted slots. Its command follows from the job. */
  leased: tell<{ job: string; fence: Fence }>(),
  /** No command comes any more for leases of this job: it ended while they were on their way to it. */
  jobEnded: tell<string>(),
  run: tell<RunCommand>(),
  stopAttempt: tell<{ partition: number; fence: Fence; reason: 'cancelled' | 'superseded' | 'paused' }>(),
  voteSettled: tell<{ fence: Fence; outcome: 'accepted' | 'refused'; reason?: string }>(),
  /** Votes that are durable. */
  votesAccepted: tell<Fence[]>(),
  /** From itself, behind what already waits: commands of one turn go out together, and the feed hears once. */
  turnEnded: tell(),
  upload: tell<{ fence: Fence; put?: SignedRequest }>(),
  uploadCheckpoint: tell<{ fence: Fence; sha256: string; put?: SignedRequest }>(),
  /** From the link: a message that was parsed against the contract. `consumed` gives the agent its credit back. */
  fromAgent: tell<{ message: FromAgent; consumed: () => void }>(),
  /** From the link: the socket is lost; the session may still be resumed. */
  suspended: tell(),
  resumed: tell(),
  closed: tell<string>(),
  /** From presence: no beat within the lease. */
  leaseExpired: tell(),
  /** `needsBytes` is an estimate. Answered by the state of the model, `failed` when no room can be made. */
  loadModel: tell<{ model: string; sha256: string; pool: ModelPoolRef; needsBytes: number; file?: ModelDelivery }>(),
  /** From the pool of a model that was asked to make room: it is busy. */
  keepModel: tell<string>(),
  unloadModel: tell<string>(),
  /** With a `note` the agent keeps the answer's log, for the coordinator after this one. */
  generate: tell<{
    generation: string;
    model: string;
    request: GenerationRequest;
    owner: GenerationRef;
    note?: string;
    receipt: boolean;
  }>(),
  compute: tell<{ generation: string; model: string; task: ModelTask; owner: GenerationRef }>(),
  cancelGeneration: tell<string>(),
  reportHeld: tell<string>(),
  drain: tell<{ on: boolean; graceSeconds: number }>(),
  revoke: tell(),
  summary: ask<void, DeviceSummary>(),
});
// An interface, because refs of actors that know each other may name each other only lazily.
export interface DeviceRef extends Ref<typeof DeviceProtocol> {}
