import type { Protocol } from '#runtime/kernel/protocol.ts';
import type { ActorRef, Admission, AskOptions } from '#runtime/kernel/ref.ts';

/** A ref whose messages are called by name: names come from other nodes, so they are looked up in the protocol first. */
type Stubs = Readonly<Record<string, (payload: unknown, options?: AskOptions) => unknown>>;

/** @throws RangeError when the protocol has no such tell */
export function tellByName(ref: ActorRef, protocol: Protocol, name: string, payload: unknown): Admission {
  return stubOf(ref, protocol, name, 'tell')(payload) as Admission;
}

/** @throws RangeError when the protocol has no such ask */
export async function askByName(ref: ActorRef, protocol: Protocol, name: string, payload: unknown, timeoutMs: number): Promise<unknown> {
  return stubOf(ref, protocol, name, 'ask')(payload, { timeoutMs });
}

function stubOf(ref: ActorRef, protocol: Protocol, name: string, kind: 'tell' | 'ask'): Stubs[string] & {} {
  const declared = Object.hasOwn(protocol.messages, name) ? protocol.messages[name] : undefined;
  const stub = (ref as unknown as Stubs)[name];
  if (declared?.kind !== kind || stub === undefined) throw new RangeError(`protocol '${protocol.name}' has no ${kind} '${name}'`);
  return stub.bind(ref);
}
