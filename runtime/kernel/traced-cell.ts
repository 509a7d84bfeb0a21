import type { AnyChildSpec } from '#runtime/kernel/actor.ts';
import { Cell } from '#runtime/kernel/cell.ts';
import type { HandlerTable } from '#runtime/kernel/handler-table.ts';
import type { Kernel } from '#runtime/kernel/kernel.ts';
import type { Admission } from '#runtime/kernel/ref.ts';
import type { Turn } from '#runtime/kernel/runner.ts';
import { Traced, type Tracing } from '#runtime/kernel/tracing.ts';

/**
 * An actor of a system that is traced: each message travels with the context of its sender, and its handler runs in it.
 * A class of its own, so that the others have nothing to check.
 */
export class TracedCell extends Cell {
  /** Of whoever spawned it. */
  readonly #born: unknown;
  readonly #tracing: Tracing;

  constructor(kernel: Kernel, parent: Cell | null, spec: AnyChildSpec) {
    super(kernel, parent, spec);
    // Cells of this class are hatched by systems with tracing only.
    this.#tracing = kernel.tracing as Tracing;
    this.#born = this.#tracing.current();
  }

  override tell(code: number, body: unknown): Admission {
    // An ask's payload is wrapped already.
    return super.tell(code, code < 0 ? body : new Traced(body, this.#tracing.current()));
  }

  override ask(kind: number, payload: unknown, timeoutMs: number): Promise<unknown> {
    return super.ask(kind, new Traced(payload, this.#tracing.current()), timeoutMs);
  }

  override post(turn: Turn): void {
    const context = this.#tracing.current();
    super.post({
      activity: turn.activity,
      run: () => {
        this.#tracing.enter(context);
        return turn.run();
      },
    });
  }

  protected override begin(): unknown {
    this.#tracing.enter(this.#born);
    return super.begin();
  }

  protected override payloadOf(body: unknown): unknown {
    return (body as Traced).payload;
  }

  protected override tableOf(handlers: object): HandlerTable {
    const tracing = this.#tracing;
    const { name: protocol, kinds, tables } = this.spec.actor.protocol;
    const pathOf = (): string => this.path;
    const methods = tables.areMethods(handlers);
    return tables.of(handlers).map((handler, kind) => {
      const name = {
        protocol,
        message: kinds[kind] ?? `#${kind}`,
        get path() {
          return pathOf();
        },
      };
      const bound = methods ? handler.bind(handlers) : handler;
      return (message) => {
        const { context, payload } = message as Traced;
        return tracing.enter(context) ? tracing.record(context, name, bound, payload) : bound(payload);
      };
    });
  }

  protected override receiverOf(): unknown {
    return undefined;
  }
}
