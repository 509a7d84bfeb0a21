import type { FromAgent, ToAgent } from '#actors/contract/agent-link.ts';
import type { LinkSession } from '#runtime/link/session.ts';

/** What a session's actor hears of its link. */
export interface SessionListener {
  /** Fulfilled when the message is consumed: until then it fills the agent's window. */
  message(message: FromAgent): Promise<void>;
  suspended(): void;
  resumed(): void;
  closed(reason: string): void;
}

/** A link session whose actor is still being opened: what arrives meanwhile waits, in order. */
export interface HeldSession {
  readonly link: LinkSession<FromAgent, ToAgent>;
  /** Hands over what waited and everything after it. Once. */
  attach(listener: SessionListener): void;
}

/** Must be called in the turn in which the link opened: the link does not wait for its listeners. */
export function holdSession(link: LinkSession<FromAgent, ToAgent>): HeldSession {
  let waiting: ((listener: SessionListener) => void)[] = [];
  let attached: SessionListener | null = null;

  function hear(event: (listener: SessionListener) => void): void {
    if (attached === null) waiting.push(event);
    else event(attached);
  }
  link.onMessage((message) => {
    if (attached !== null) return attached.message(message);
    const { promise, resolve } = Promise.withResolvers<void>();
    waiting.push((l) => void l.message(message).then(resolve));
    return promise;
  });
  link.onSuspended(() => hear((l) => l.suspended()));
  link.onResumed(() => hear((l) => l.resumed()));
  link.onClosed((reason) => hear((l) => l.closed(reason)));

  return {
    link,
    attach(listener) {
      attached = listener;
      for (const event of waiting) event(listener);
      waiting = [];
    },
  };
}
