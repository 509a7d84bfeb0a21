import type { Connection, GridSocket } from '../../ui/src/live/grid-socket.ts';
import { createSource } from '../../ui/src/live/source.ts';

/** A GridSocket whose answers and events a test writes by hand, to put them in any order. */
export interface ScriptedSocket extends GridSocket {
  /** Requests without an answer yet, oldest first. */
  readonly open: {
    readonly event: string;
    readonly payload: unknown;
    answer(value: unknown): Promise<void>;
    fail(error: Error): Promise<void>;
  }[];
  emit(event: string, payload: unknown): void;
  become(connection: Connection): void;
  /** Handlers that are still registered: a leak when a test ends. */
  readonly listeners: number;
}

/** Lets promise callbacks run that an answer has set off. */
const settle = async (): Promise<void> => {
  for (let turn = 0; turn < 10; turn++) await Promise.resolve();
};

export function scriptedSocket(initial: Connection = { phase: 'connected', lagMs: 1 }): ScriptedSocket {
  const connection = createSource<Connection>(initial);
  const handlers = new Map<string, Set<(payload: unknown) => void>>();
  const open: ScriptedSocket['open'] = [];
  return {
    connection,
    open,
    request(event, payload) {
      return new Promise((resolve, reject) => {
        const take = (): void => void open.splice(open.indexOf(entry), 1);
        const entry = {
          event,
          payload,
          answer(value: unknown) {
            take();
            resolve(value);
            return settle();
          },
          fail(error: Error) {
            take();
            reject(error);
            return settle();
          },
        };
        open.push(entry);
      });
    },
    on(event, receive) {
      const all = handlers.get(event) ?? new Set();
      handlers.set(event, all.add(receive));
      return () => all.delete(receive);
    },
    emit(event, payload) {
      for (const receive of handlers.get(event) ?? []) receive(payload);
    },
    become(next) {
      connection.set(next);
    },
    get listeners() {
      return [...handlers.values()].reduce((sum, all) => sum + all.size, 0);
    },
    close() {},
  };
}
