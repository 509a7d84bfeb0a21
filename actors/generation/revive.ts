import type { FromAgent } from '#actors/contract/agent-link.ts';
import type { DeviceRef } from '#actors/device/device.protocol.ts';

import type { GenerationRef } from './generation.protocol.ts';

export interface FoundGeneration {
  readonly message: Extract<FromAgent, { type: 'reattached' }>;
  readonly device: string;
  readonly ref: DeviceRef;
}

/** Takes up an answer that an agent still has, of a coordinator that is no more. Null: nobody wants it, or it is not what it says it is. */
export type Revive = (found: FoundGeneration) => GenerationRef | null;
