import { z } from 'zod';

/** Every message between two nodes of a cluster. Bodies are made by `createBodyCodec`: they may hold addresses of actors. */

const Epoch = z.number().int().nonnegative();
const Partition = z.number().int().min(0).max(65_535);
const NodeId = z.string().min(1).max(100);
const Body = z.custom<Uint8Array>((value) => value instanceof Uint8Array);
/** Numbers the questions of one sender. */
const Question = z.number().int().nonnegative();
const Lifetime = z.strictObject({ id: NodeId, incarnation: z.number().int().positive() });

const EntityMessage = z.strictObject({
  type: z.literal('entity'),
  kind: z.string().min(1).max(100),
  id: z.string().min(1).max(500),
  partition: Partition,
  /** At which the sender believes its receiver to own the partition. */
  epoch: Epoch,
  name: z.string().min(1).max(100),
  body: Body,
  /** An ask, which is answered; without it a tell. */
  ask: z.strictObject({ question: Question, timeoutMs: z.number().positive() }).optional(),
});
export type EntityMessage = z.infer<typeof EntityMessage>;

export const NodeMessage = z.discriminatedUnion('type', [
  EntityMessage,
  /** NotOwner: the very message comes back, and what the answering node knows of the partition. */
  z.strictObject({ type: z.literal('bounced'), message: EntityMessage, epoch: Epoch, owner: NodeId.nullable() }),
  /** Answered in order, so that the asker knows that all bounces of what it sent before have come. */
  z.strictObject({ type: z.literal('probe'), partition: Partition, probe: Question }),
  z.strictObject({ type: z.literal('probed'), partition: Partition, probe: Question }),
  z.strictObject({
    type: z.literal('actor'),
    /** A name that the receiver published, or one that it gave an address away under. */
    to: z.string().min(1).max(200),
    name: z.string().min(1).max(100),
    body: Body,
    ask: z.strictObject({ question: Question, timeoutMs: z.number().positive() }).optional(),
  }),
  z.strictObject({ type: z.literal('answer'), question: Question, body: Body }),
  z.strictObject({
    type: z.literal('refusal'),
    question: Question,
    code: z.string().max(100),
    message: z.string().max(10_000),
    path: z.string().max(1_000).optional(),
    fix: z.string().max(10_000).optional(),
  }),
  /** The receiver tells when this actor of its own has ended. */
  z.strictObject({ type: z.literal('watch'), to: z.string().min(1).max(200) }),
  z.strictObject({ type: z.literal('ended'), to: z.string().min(1).max(200) }),
  /** The sender owns these partitions now. */
  z.strictObject({ type: z.literal('owned'), life: Lifetime, epochs: z.array(z.tuple([Partition, Epoch])).max(65_536) }),
  /** The receiver's partitions, and higher epochs than the database gives them: it has lost commits. */
  z.strictObject({ type: z.literal('seen'), epochs: z.array(z.tuple([Partition, Epoch])).max(65_536) }),
  /** Something changed that is in the database: look. */
  z.strictObject({ type: z.literal('look') }),
  z.strictObject({ type: z.literal('silent'), life: Lifetime }),
  z.strictObject({ type: z.literal('heard'), life: Lifetime }),
]);
export type NodeMessage = z.infer<typeof NodeMessage>;
