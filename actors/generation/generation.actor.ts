import type { AnswersRef } from '#actors/audit/answers.protocol.ts';
import type { SignedAnswer } from '#actors/contract/answer-receipt.ts';
import type { GenerationRequest, ModelTask, TokenLogprob } from '#actors/contract/generation.ts';
import type { DeviceRef } from '#actors/device/device.protocol.ts';
import type { ModelPoolRef } from '#actors/model-pool/model-pool.protocol.ts';
import type { Services } from '#actors/services.ts';
import { GridError } from '#runtime/errors.ts';
import { defineActor, type Timer } from '#runtime/kernel/actor.ts';

import { sealNote, type GenerationNote } from './generation-note.ts';
import { GenerationProtocol } from './generation.protocol.ts';
import { LIMITS, pauseBefore, requestAt, type Failure, type GenerationLimits } from './generation.state.ts';
import { promptChain } from './prompt-chain.ts';
import type { UsageRef } from './usage.protocol.ts';

export interface GenerationResult {
  readonly finish: 'stop' | 'length' | 'cancelled';
  readonly device: string;
  readonly promptTokens: number;
  readonly completionTokens: number;
  readonly cachedTokens: number;
}

/** Where a completion's text goes: the door that the client's connection ends at. Called in order; exactly one of `ended`, `failed` and `refused` comes last. */
export interface GenerationSink {
  /** A replica has it. Before the first text, and again after each move. */
  started(device: string): void;
  text(text: string, tokens: number, logprobs: readonly TokenLogprob[]): void;
  /** A task's results, from index `from`. */
  values?(values: TaskValues): void;
  ended(result: GenerationResult): void;
  failed(error: GridError): void;
  /** The model cannot take this request, here or anywhere. */
  refused(why: Failure): void;
}

export interface TaskValues {
  readonly from: number;
  readonly vectors?: readonly Uint8Array[] | undefined;
  readonly scores?: readonly number[] | undefined;
  readonly gaps?: readonly number[] | undefined;
  readonly prompt?: string | undefined;
}

export interface GenerationArgs {
  readonly services: Services;
  readonly usageLog: UsageRef;
  /** Who keeps what devices sign; null: nothing is signed. */
  readonly answers: AnswersRef | null;
  readonly generation: string;
  readonly model: string;
  /** SHA-256 of its file. */
  readonly modelFile: string;
  readonly pool: ModelPoolRef;
  readonly work: { readonly request: GenerationRequest } | { readonly task: ModelTask };
  readonly usage: { readonly tenant: string; readonly apiKey: string };
  readonly sink: GenerationSink;
  /** A fresh UUID: each attempt on a device has a name of its own, so that nothing of an abandoned one is taken for the new one's. */
  readonly attemptId: () => string;
  /** Devices that are not to have it. It then goes only where the model is ready. */
  readonly notOn?: readonly string[];
  readonly limits?: Partial<GenerationLimits>;
  /** How the answer is shown, in the door's own words: a coordinator after this one may go on with it. Left out: it ends with this one. */
  readonly shown?: string;
  /** It was begun by an earlier coordinator, and a device still has it. */
  readonly revived?: { readonly device: string; readonly ref: DeviceRef; readonly pool: ModelPoolRef; readonly note: GenerationNote };
}

interface Attempt {
  readonly id: string;
  readonly device: string;
  readonly ref: DeviceRef;
  /** Who gave it, and gets it back. */
  readonly pool: ModelPoolRef;
  /** It is to be left as soon as another replica is found. */
  leaving: boolean;
  heard: boolean;
  /** Where in the answer it began, and what it said. */
  readonly tokensFrom: number;
  readonly textFrom: number;
  text: string;
}

/**
 * One open completion.
 *
 *   waiting ──replica──▶ generating ──▶ ended | refused | failed
 *      ▲                     │
 *      └─ lost, preempted ───┤   the attempt is over; the next one resumes from the token log
 *         drained, suspect ──┘   the attempt goes on until another replica is found
 *
 * Owns the token log: what reached the sink has been logged, in order and without a gap, and an attempt resumes behind it.
 * A lost attempt may be followed by at most `moves` others; being preempted by the queue does not count. Usage is recorded once, at the
 * end, whatever happened on the way. Nothing is persisted: agents keep the logs of open generations, with a note each by which the
 * coordinator after this one begins as `generating` where the device still is.
 */
export const generationActor = defineActor({
  protocol: GenerationProtocol,
  mailbox: { capacity: 8_192 },
  start(context, args: GenerationArgs) {
    const { generation, pool, sink, model, work } = args;
    const limits = { ...LIMITS, ...args.limits };
    const log: number[] = [];
    /** What was sent to the sink, when the answer may outlive this coordinator; null: likelihoods went along, which no note can hold. */
    let shownPieces: GenerationNote['pieces'] | null = [];
    let textLength = 0;
    /** Pieces of text of an engine that tells no tokens. Nobody could go on behind them. */
    let pieces = 0;
    let values = 0;
    let promptTokens = 0;
    let attempt: Attempt | null = null;
    let seeking = false;
    let over = false;
    let moves = 0;
    let attempts = 0;
    let tried: string[] = [];
    /** Devices whose engines cannot do what the request asks. Others may. */
    const unable: string[] = [...(args.notOn ?? [])];
    let last: Failure | null = null;
    let timer: Timer = context.after(limits.loadMs, () => fail('the model did not load in time'));

    context.onStop(() => {
      if (seeking) pool.abandon(context.self);
      drop(true);
    });
    const prompt = 'request' in work ? promptChain(work.request) : undefined;
    if (args.revived === undefined) seek();
    else takeUp(args.revived);

    /** From where the earlier coordinator was when this attempt began: the device repeats the rest. */
    function takeUp({ device, ref, pool: from, note }: NonNullable<GenerationArgs['revived']>): void {
      attempts = 1;
      ({ moves } = note);
      const tokensFrom = note.pieces.reduce((sum, { tokens }) => sum + tokens.length, 0);
      const textFrom = note.pieces.reduce((sum, { text }) => sum + text.length, 0);
      attempt = { id: note.attempt, device, ref, pool: from, leaving: false, heard: false, tokensFrom, textFrom, text: '' };
      watchSilence(limits.firstTokenMs);
      from.adopt({ device, ref, owner: context.self, key: args.usage.apiKey });
      sink.started(device);
      for (const { tokens, text } of note.pieces) show(tokens, text, []);
    }

    function show(tokens: readonly number[], text: string, logprobs: readonly TokenLogprob[]): void {
      for (const token of tokens) log.push(token);
      textLength += text.length;
      if (log.length === 0) pieces += 1;
      if (args.shown === undefined || logprobs.length > 0) shownPieces = null;
      shownPieces?.push({ tokens: [...tokens], text });
      sink.text(text, tokens.length, logprobs);
    }

    /** For the coordinator after this one. */
    function noteFor(id: string): { note?: string } {
      const { shown, usage } = args;
      if (shown === undefined || shownPieces === null || !('request' in work)) return {};
      const note = sealNote(
        args.services.key,
        { generation, attempt: id, model, ...usage, moves, pieces: shownPieces, shown },
        work.request,
      );
      return note === undefined ? {} : { note };
    }

    function watchSilence(ms: number): void {
      timer.cancel();
      timer = context.after(ms, () => lost({ code: 'HOST_SILENT', reason: 'the replica stopped answering', promptTokens: 0 }, true));
    }

    function seek(): void {
      if (seeking || over) return;
      seeking = true;
      const exclude = [...unable, ...tried, ...(attempt === null ? [] : [attempt.device])];
      const readyOnly = args.notOn !== undefined;
      if (pool.acquire({ owner: context.self, key: args.usage.apiKey, exclude, prompt, readyOnly }) === 'accepted') return;
      seeking = false;
      if (attempt === null) fail('the model is overwhelmed');
    }

    /** Tokens of the answer so far; servers that tell none send about one in each piece. */
    function told(): number {
      return log.length === 0 ? pieces : log.length;
    }

    /** Lets go of the replica. Its slot serves others at once. */
    function drop(cancel: boolean): void {
      if (attempt === null) return;
      if (cancel) attempt.ref.cancelGeneration(attempt.id);
      attempt.pool.release({ device: attempt.device, owner: context.self, tokens: told() });
      attempt = null;
    }

    function begin(device: string, ref: DeviceRef, from: ModelPoolRef): void {
      attempts += 1;
      const id = attempts === 1 ? generation : args.attemptId();
      attempt = {
        id, device, ref, pool: from, leaving: false, heard: false, tokensFrom: log.length, textFrom: textLength, text: '',
      }; // prettier-ignore
      watchSilence(limits.firstTokenMs);
      sink.started(device);
      const owner = context.self;
      const admission =
        'task' in work
          ? ref.compute({ generation: id, model, task: work.task, owner })
          : ref.generate({
              generation: id,
              model,
              request: requestAt(work.request, log, textLength),
              owner,
              receipt: args.answers !== null,
              ...noteFor(id),
            });
      if (admission !== 'accepted') lost({ code: 'DEVICE_LOST', reason: 'the device was lost', promptTokens: 0 }, false);
    }

    /** The attempt is over and another may do better. */
    function lost(failure: Failure, cancel: boolean): void {
      if (over) return;
      last = failure;
      const device = attempt?.device;
      drop(cancel);
      moves += 1;
      args.services.log.info({ generation, model, device, reason: failure.reason, tokens: log.length, moves }, 'generation moves');
      if (pieces > 0) return fail(`${failure.reason}, and what it said cannot be continued elsewhere: its engine tells no tokens`);
      if (moves > limits.moves) return fail(failure.reason);
      if (device !== undefined && !tried.includes(device)) tried = [...tried, device];
      elsewhere(failure);
    }

    /** Not a failure of the device, and no move: nothing was begun there. */
    function unfit(failure: Failure): void {
      if (attempt !== null) unable.push(attempt.device);
      drop(false);
      last ??= failure;
      elsewhere(failure);
    }

    function elsewhere({ reason }: Failure): void {
      timer.cancel();
      timer = context.after(limits.loadMs, () => fail(reason));
      seek();
    }

    function finish(deliver: () => void, outcome: string, completionTokens: number): void {
      if (over) return;
      over = true;
      timer.cancel();
      const device = attempt?.device ?? null;
      drop(false);
      const { tenant, apiKey } = args.usage;
      const at = context.clock.wall();
      const row = { id: generation, tenant, apiKey, model, device, promptTokens, completionTokens, outcome, at };
      if (args.usageLog.record(row) !== 'accepted') args.services.log.error({ row }, 'usage not recorded');
      deliver();
      context.stop();
    }

    function keep({ id, device, tokensFrom, textFrom, text }: Attempt, receipt: SignedAnswer, outcome: 'stop' | 'length'): void {
      if (args.answers === null || !('request' in work)) return;
      const { request } = work;
      const seen = {
        attempt: id, device, model: args.modelFile, request, tokens: log, text, tokensFrom, textFrom, promptTokens, outcome,
      }; // prettier-ignore
      args.answers.finished({ id: generation, tenant: args.usage.tenant, modelName: model, pool, seen, receipt });
    }

    function fail(reason: string): void {
      const code = last?.code === 'BUSY' ? 'BUSY' : 'MODEL_FAILED';
      drop(true);
      finish(() => sink.failed(new GridError(code, `model ${model}: ${reason}`, { fix: 'try again' })), 'failed', told());
    }

    /** Nobody else has room for it now. */
    function nowhere(error: GridError): void {
      // The attempt that was to be left is all there is: it goes on where it is.
      if (attempt !== null) return void (attempt.leaving = false);
      if (last === null) return finish(() => sink.failed(error), 'failed', 0);
      const why = last;
      if (why.code === 'UNSUPPORTED') return finish(() => sink.refused(why), 'refused', 0);
      const pause = pauseBefore(last, moves, context.random());
      if (pause > limits.waitMs) return fail(last.reason);
      tried = [];
      timer.cancel();
      timer = context.after(pause, () => {
        timer = context.after(limits.loadMs, () => fail(last?.reason ?? 'no replica was found'));
        last = null;
        seek();
      });
    }

    return {
      replica(found) {
        seeking = false;
        const surplus = over || (attempt !== null && !attempt.leaving);
        if (surplus) return void found.pool.release({ device: found.device, owner: context.self, tokens: 0, unused: true });
        if (attempt !== null) {
          moves += 1;
          args.services.log.info(
            { generation, model, device: attempt.device, reason: 'left', tokens: log.length, moves },
            'generation moves',
          );
        }
        drop(true);
        begin(found.device, found.ref, found.pool);
      },
      noReplica(error) {
        seeking = false;
        if (!over) nowhere(error);
      },
      tokens({ generation: id, from, tokens, text, logprobs = [] }) {
        if (over || attempt?.id !== id) return;
        // The link neither loses nor repeats, so a gap is a defect of the agent: better another attempt than a wrong answer.
        if (from !== log.length || (logprobs.length > 0 && logprobs.length !== tokens.length))
          return lost({ code: 'ENGINE', reason: `token ${log.length} expected, got ${from}`, promptTokens: 0 }, true);
        attempt.heard = true;
        watchSilence(limits.silenceMs);
        attempt.text += text;
        show(tokens, text, logprobs);
      },
      values({ generation: id, from, vectors, scores, gaps, prompt: computedPrompt }) {
        if (over || attempt?.id !== id) return;
        watchSilence(limits.silenceMs);
        const count = vectors?.length ?? scores?.length ?? gaps?.length ?? 0;
        if (from > values) return lost({ code: 'ENGINE', reason: `value ${values} expected, got ${from}`, promptTokens: 0 }, true);
        // A task that moved begins anew; what is known already is not told twice.
        const skip = values - from;
        if (skip >= count) return;
        sink.values?.({
          from: values,
          vectors: vectors?.slice(skip),
          scores: scores?.slice(skip),
          gaps: gaps?.slice(skip),
          prompt: computedPrompt,
        });
        values = from + count;
      },
      ended({ generation: id, outcome, cachedTokens = 0, code = 'ENGINE', retryAfterMs, retryable, receipt, ...end }) {
        if (over || attempt?.id !== id) return;
        const reason = end.reason ?? 'the generation failed';
        const failure: Failure = { code, reason, promptTokens: end.promptTokens, ...(retryAfterMs === undefined ? {} : { retryAfterMs }) };
        if (outcome === 'failed' && code === 'UNSUPPORTED') return unfit(failure);
        if (outcome === 'failed' && retryable) return lost(failure, false);
        // Cancelled by somebody, and not by us: the agent lets go of its work.
        if (outcome === 'cancelled') return lost({ ...failure, code: 'UNLOADED', reason: 'the device gave it back' }, false);
        promptTokens = end.promptTokens;
        if (outcome === 'failed') return finish(() => sink.refused(failure), 'refused', 0);
        const { device } = attempt;
        const completionTokens = end.completionTokens;
        if (receipt !== undefined) keep(attempt, receipt, outcome);
        finish(() => sink.ended({ finish: outcome, device, promptTokens, completionTokens, cachedTokens }), outcome, completionTokens);
      },
      preempt() {
        if (over || attempt === null || seeking || pieces > 0) return;
        drop(true);
        timer.cancel();
        timer = context.after(limits.loadMs, () => fail('its turn did not come again'));
        seek();
      },
      leave(id) {
        if (over || attempt?.id !== id || moves >= limits.moves || pieces > 0) return;
        attempt.leaving = true;
        seek();
      },
      back(id) {
        if (attempt?.id === id) attempt.leaving = false;
      },
      cancel() {
        if (over) return;
        const device = attempt?.device ?? '';
        if (seeking) pool.abandon(context.self);
        seeking = false;
        attempt?.ref.cancelGeneration(attempt.id);
        const completionTokens = told();
        finish(
          () => sink.ended({ finish: 'cancelled', device, promptTokens, completionTokens, cachedTokens: 0 }),
          'cancelled',
          completionTokens,
        );
      },
    };
  },
});
