import { z } from 'zod';

import type { GenerationSink } from '#actors/generation/generation.actor.ts';
import { openNote } from '#actors/generation/generation-note.ts';
import type { Revive } from '#actors/generation/revive.ts';
import { GridError } from '#runtime/errors.ts';

import type { GatewayArgs } from '../gateway.ts';
import { type AnswerHead, type ChoiceReading, ChoiceStream, SSE_DONE, sseEvent, usageEvent, usageOf } from './chunks.ts';
import { openAiError, type OpenAiErrorReply } from './errors.ts';
import type { KeptStream, KeptStreams } from './kept-streams.ts';

/**
 * Kept chat streams of a coordinator that is no more. An agent that still has the answer gives back the note about it; with that the
 * same events come out again under the same numbers, and those who come back for the rest find it where they left it.
 */

/** How a kept stream with one choice is shown. */
const Shown = z.strictObject({
  id: z.string().regex(/^chatcmpl-[\w-]{1,80}$/),
  created: z.number().int(),
  keepMs: z.number().int().positive(),
  withUsage: z.boolean(),
  calls: z.boolean(),
  logprobs: z.boolean(),
});
export type Shown = z.infer<typeof Shown>;

/** Ids of calls come from the answer's own, so that they are the same again. */
export function readingOf(id: string, { calls, logprobs }: Pick<Shown, 'calls' | 'logprobs'>): (index: number) => ChoiceReading {
  const unique = id.slice('chatcmpl-'.length).replaceAll('-', '').slice(0, 20);
  return (index) => ({ calls, logprobs, callId: (n) => `call_${unique}_${index}_${n}` });
}

type Generations = Pick<GatewayArgs, 'revive' | 'models' | 'services'>;

export function reviver({ revive, models, services }: Generations, streams: KeptStreams): Revive {
  return ({ message, device, ref }) => {
    const note = openNote(services.key.publicKey, message);
    const shown = Shown.safeParse(note === null ? null : JSON.parse(note.shown));
    if (note === null || !shown.success || streams.find(shown.data.id, note.apiKey) !== null) return null;
    const { id, keepMs } = shown.data;
    const kept = streams.keep(id, note.apiKey, keepMs);
    if (kept === null) return null;
    const { tenant, apiKey, generation, model } = note;
    const owner = revive({
      generation,
      model,
      models,
      work: { request: withoutAnswer(message.request) },
      usage: { tenant, apiKey },
      sink: sinkOf(kept, { ...shown.data, model }),
      shown: note.shown,
      revived: { device, ref, note },
    });
    kept.giveUp = () => void owner.cancel();
    streams.detached(id);
    services.log.info({ generation, model, device }, 'stream taken up again');
    return owner;
  };
}

function withoutAnswer<T extends { resume?: unknown }>({ resume: _resume, ...request }: T): Omit<T, 'resume'> {
  return request;
}

function sinkOf(kept: KeptStream, { id, created, model, withUsage, ...shown }: Shown & { readonly model: string }): GenerationSink {
  const head: AnswerHead = { id, created, model };
  const choice = new ChoiceStream(head, 0, { reading: readingOf(id, shown)(0), withUsage });
  kept.append(choice.role());
  const fail = (error: OpenAiErrorReply): void => {
    kept.append(sseEvent(error.body));
    kept.end();
  };
  return {
    started() {},
    text: (text, _tokens, logprobs) => void kept.append(choice.text(text, logprobs)),
    ended({ finish, ...usage }) {
      if (finish === 'cancelled') return fail(openAiError(new GridError('UNREACHABLE', 'the request was cancelled'), id));
      kept.append(choice.finished(finish));
      kept.append((withUsage ? usageEvent(head, usageOf(usage)) : '') + SSE_DONE);
      kept.end();
    },
    failed: (error) => fail(openAiError(error, id)),
    refused: ({ reason }) => fail(openAiError(new GridError('BAD_REQUEST', reason), id)),
  };
}
