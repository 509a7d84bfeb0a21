import { z } from 'zod';

import {
  ComputeMessage,
  GenerateMessage,
  GenerationEndedMessage,
  GenerationId,
  ReattachedMessage,
  ReattachMessage,
  TokensMessage,
  ValuesMessage,
} from './generation.ts';
import {
  Body,
  Bytes,
  DeviceId,
  Fence,
  JobId,
  Label,
  MODEL_LIMIT,
  ObjectRef,
  PublicKey,
  Sha256,
  Signature,
  SignedRequest,
} from './primitives.ts';
import { Limits } from './job-spec.ts';
import { MAX_VOTE_BATCH, VoteBatch } from './vote-batch.ts';
import { GpuBackend, JobKind, SandboxGrade } from './requirements.ts';
import { UNKNOWN_VITALS, Vitals } from './vitals.ts';

/**
 * Every message between a coordinator and an agent. The link (runtime/link) gives order, resume and authentication;
 * these schemas give meaning. Both ends parse what they receive; a message that does not fit ends the session.
 */

export const Gpu = z.strictObject({
  name: z.string().max(200),
  backend: GpuBackend,
  memoryBytes: z.number().int().nonnegative(),
});

/** What a machine says it can do. Claims, not proofs: placement uses them, trust never does. */
export const Capabilities = z.strictObject({
  agentVersion: z.string().max(40),
  hostname: Label,
  os: z.enum(['linux', 'darwin', 'win32']),
  arch: z.enum(['x64', 'arm64']),
  cores: z.number().int().min(1).max(4096),
  memoryBytes: z.number().int().positive(),
  /** Attempts that it will run at once. */
  slots: z.number().int().min(0).max(4096),
  kinds: z.array(JobKind).max(8),
  gpus: z.array(Gpu).max(64),
  /** Model files that lie on the machine and that it offers to serve. */
  models: z
    .array(
      z.strictObject({
        name: Label,
        sha256: Sha256,
        size: z.number().int().positive(),
        contextSize: z.number().int().positive(),
        /** Generations at once; left out by agents that do not say. */
        sequences: z.number().int().min(1).max(4096).optional(),
      }),
    )
    .max(256),
  /** Generations at once of each model that the grid gives it. */
  sequences: z.number().int().min(1).max(4096).optional(),
  /** What it understands beyond the first version of this contract, such as `generation-2`: all of generation.ts. */
  features: z.array(z.string().max(40)).max(64).optional(),
  /** Where it stands, when its agent was told. */
  site: Label.optional(),
  /** How well it shuts in what it runs, as its self-test found; left out: it was not tested. */
  sandbox: SandboxGrade.optional(),
});
export type Capabilities = z.infer<typeof Capabilities>;

/** Rides in the link's hello. `held` are the attempts that the agent still works on or has a vote for. */
export const AgentHello = z.strictObject({
  capabilities: Capabilities,
  vitals: Vitals.default(UNKNOWN_VITALS),
  held: z.array(Fence).max(100_000),
  /** Highest epoch seen per partition (index = partition): the coordinator must be at or above. */
  epochs: z.record(z.string().regex(/^\d{1,3}$/), z.number().int().nonnegative()),
  /** Answers whose log it keeps, running or ended a short while ago: a coordinator that was restarted may reattach to them. */
  generations: z.array(GenerationId).max(10_000).optional(),
});
export type AgentHello = z.infer<typeof AgentHello>;

/** Where a shard stood when its last checkpoint was taken. */
const Steps = z.number().int().min(1).max(Number.MAX_SAFE_INTEGER);

/** What the agent says that takes this part of a command: `checkpoints`. Others get the command without it. */
const CheckpointOrder = z.strictObject({
  everySeconds: z.number().min(1).max(86_400),
  /** To go on from. The agent checks it and begins anew when it is no good. */
  from: Body.optional(),
});

/** One execution of one shard. */
export const RunCommand = z.strictObject({
  type: z.literal('run'),
  partition: z.number().int().min(0).max(255),
  fence: Fence,
  job: JobId,
  shard: z.number().int().nonnegative(),
  kind: z.literal('wasm'),
  module: Body,
  args: z.array(z.string()).max(64),
  /** Standard input: the parts one after the other, each preceded by its length when `framed`. */
  input: z.array(Body).max(100_000),
  framed: z.boolean(),
  /** What the vote signs as its input: SHA-256 over the parts' hashes and the arguments. */
  inputDigest: Sha256,
  limits: Limits,
  checkpoint: CheckpointOrder.optional(),
});
export type RunCommand = z.infer<typeof RunCommand>;

/** Executions of many shards of one job in one message: what they share is said once. For agents with the feature `batches`. */
export const RunsCommand = z.strictObject({
  type: z.literal('runs'),
  ...RunCommand.pick({ partition: true, job: true, kind: true, module: true, framed: true, limits: true }).shape,
  shards: z
    .array(
      z.strictObject(RunCommand.pick({ fence: true, shard: true, args: true, input: true, inputDigest: true, checkpoint: true }).shape),
    )
    .max(4096),
});
export type RunsCommand = z.infer<typeof RunsCommand>;

/** The commands of a batch, one by one. */
export function commandsOf({ type: _type, shards, ...shared }: RunsCommand): RunCommand[] {
  return shards.map((shard) => ({ ...shared, ...shard, type: 'run' }));
}

/** A model file that the grid keeps, and how to get it. */
export const ModelDelivery = z.strictObject({
  size: z.number().int().positive().max(MODEL_LIMIT),
  get: SignedRequest,
  /** The SHA-256 of each 8 MiB of the file, 32 bytes each. */
  chunks: Body,
  contextSize: z.number().int().min(64).max(1_048_576),
});
export type ModelDelivery = z.infer<typeof ModelDelivery>;

/** A day: longer than any attempt may take. */
export const MAX_GRACE_SECONDS = 86_400;

/** Coordinator to agent. */
export const ToAgent = z.discriminatedUnion('type', [
  RunCommand,
  RunsCommand,
  z.strictObject({
    type: z.literal('stop'),
    partition: z.number().int().min(0).max(255),
    fence: Fence,
    reason: z.enum(['cancelled', 'superseded', 'paused']),
  }),
  /** The vote is durable, or refused for good: the agent may forget it. */
  z.strictObject({
    type: z.literal('voteSettled'),
    fence: Fence,
    outcome: z.enum(['accepted', 'refused']),
    reason: z.string().max(500).optional(),
  }),
  /** Votes that are durable, many at once. For agents with the feature `batches`. */
  z.strictObject({ type: z.literal('votesAccepted'), fences: z.array(Fence).max(MAX_VOTE_BATCH) }),
  z.strictObject({ type: z.literal('upload'), fence: Fence, put: SignedRequest.optional() }),
  /** Leave to store a checkpoint (without `put`: it is there already). Only to agents that offered one. */
  z.strictObject({ type: z.literal('uploadCheckpoint'), fence: Fence, sha256: Sha256, put: SignedRequest.optional() }),
  /** With `file`, an agent that does not have the file fetches it first. */
  z.strictObject({ type: z.literal('loadModel'), model: Label, sha256: Sha256, file: ModelDelivery.optional() }),
  z.strictObject({ type: z.literal('unloadModel'), model: Label }),
  GenerateMessage,
  ComputeMessage,
  ReattachMessage,
  z.strictObject({ type: z.literal('cancelGeneration'), generation: GenerationId }),
  /** `graceSeconds` goes to agents with the feature `drain`, which answer `drained`. */
  z.strictObject({ type: z.literal('drain'), on: z.boolean(), graceSeconds: z.number().int().min(0).max(MAX_GRACE_SECONDS).optional() }),
]);
export type ToAgent = z.infer<typeof ToAgent>;

/** A signed result. `signature` covers `voteBytes` (receipt.ts); its hash is checked before the signature is. */
export const VoteMessage = z.strictObject({
  type: z.literal('vote'),
  fence: Fence,
  job: JobId,
  shard: z.number().int().nonnegative(),
  output: ObjectRef,
  /** The output itself when it is small; a larger one was uploaded before. */
  bytes: Bytes.optional(),
  seconds: z.number().nonnegative(),
  signature: Signature,
  /** The signature covers a batch, and this vote stands here in it. */
  batch: VoteBatch.optional(),
});
export type VoteMessage = z.infer<typeof VoteMessage>;

/**
 * A whole batch of votes on one job under one signature, in the order of its leaves: who has all of them needs none of their
 * paths. Sent only to a coordinator that has sent `runs`, and so knows it.
 */
export const VotesMessage = z.strictObject({
  type: z.literal('votes'),
  job: JobId,
  signature: Signature,
  votes: z
    .array(z.strictObject(VoteMessage.pick({ fence: true, shard: true, output: true, bytes: true, seconds: true }).shape))
    .min(2)
    .max(MAX_VOTE_BATCH),
});
export type VotesMessage = z.infer<typeof VotesMessage>;

/**
 * On the checkpoints of an attempt: asks for leave to store one, says that it is stored, or that the one to go on from is no good.
 * Sent only when the command asked for checkpoints.
 */
export const CheckpointMessage = z.strictObject({
  type: z.literal('checkpoint'),
  fence: Fence,
  event: z.enum(['offered', 'stored', 'refused']),
  checkpoint: ObjectRef,
  /** Steps that are done; of a refused one 1. */
  steps: Steps,
  reason: z.string().max(2000).optional(),
});
export type CheckpointMessage = z.infer<typeof CheckpointMessage>;

/** Agent to coordinator. */
export const FromAgent = z.discriminatedUnion('type', [
  z.strictObject({
    type: z.literal('beat'),
    load: z.number().nonnegative(),
    memoryFreeBytes: z.number().int().nonnegative(),
    running: z.number().int().nonnegative(),
    /** Left out: as they were. */
    vitals: Vitals.optional(),
  }),
  VoteMessage,
  VotesMessage,
  z.strictObject({
    type: z.literal('attemptFailed'),
    fence: Fence,
    job: JobId,
    shard: z.number().int().nonnegative(),
    reason: z.string().max(2000),
  }),
  /** Given back unfinished by a machine that drains. Sent only to a coordinator that has given it a grace. */
  z.strictObject({
    type: z.literal('attemptReleased'),
    fence: Fence,
    job: JobId,
    shard: z.number().int().nonnegative(),
    reason: z.string().max(2000),
  }),
  /** Nothing runs here and no vote is unsettled. */
  z.strictObject({ type: z.literal('drained') }),
  /** Asks for leave to store a large output; answered by `upload` (without `put`: it is there already). */
  z.strictObject({ type: z.literal('offer'), fence: Fence, job: JobId, shard: z.number().int().nonnegative(), output: ObjectRef }),
  CheckpointMessage,
  z.strictObject({
    type: z.literal('modelState'),
    model: Label,
    state: z.enum(['downloading', 'loading', 'ready', 'unloaded', 'failed']),
    memoryBytes: z.number().int().nonnegative(),
    /** Bytes that are here already, while it downloads. */
    receivedBytes: z.number().int().nonnegative().optional(),
    reason: z.string().max(2000).optional(),
  }),
  TokensMessage,
  ValuesMessage,
  ReattachedMessage,
  GenerationEndedMessage,
]);
export type FromAgent = z.infer<typeof FromAgent>;

/** Enrolment: a token buys a machine its identity in this grid. */
export const EnrolRequest = z.strictObject({ token: z.string().min(1).max(200), publicKey: PublicKey, name: Label, proof: Signature });
export const EnrolReply = z.strictObject({ device: DeviceId, gridKey: PublicKey });
export type EnrolRequest = z.infer<typeof EnrolRequest>;
export type EnrolReply = z.infer<typeof EnrolReply>;
