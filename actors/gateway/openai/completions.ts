import type { FastifyReply, FastifyRequest } from 'fastify';

import { startReply, type Reply, type ReplySink } from './answers.ts';
import { type AnswerHead, SSE_DONE, sseEvent, usageOf } from './chunks.ts';
import { TextChoice, textCompletion } from './completion-objects.ts';
import {
  answerNames,
  type Call,
  enter,
  type Entered,
  newSeed,
  nowInSeconds,
  type OpenAiContext,
  sendWhole,
  type Whole,
} from './endpoint.ts';
import { EventStream } from './event-stream.ts';
import { type CompletionRequest, parseCompletionRequest } from './schema-others.ts';

/** `POST /v1/completions`. */

interface Begun {
  readonly completion: CompletionRequest;
  readonly head: AnswerHead;
  readonly entered: Entered;
  readonly choices: readonly TextChoice[];
  readonly start: (sink: ReplySink) => Reply;
}

async function begin(context: OpenAiContext, call: Call): Promise<Begun> {
  const completion = parseCompletionRequest(call.body, newSeed(context));
  const { requests, n, logprobs, echoes } = completion;
  const answerTokens = requests.reduce((sum, { sampling }) => sum + sampling.maxTokens * n, 0);
  const { found, admitted } = await enter(context, call, completion.model, answerTokens);
  const unique = context.args.randomId();
  const answers = answerNames(context, unique, requests.length * n);
  const entered = { found, admitted: { ...admitted, headers: { ...admitted.headers, ...answers.headers } } };
  return {
    completion,
    entered,
    head: { id: `cmpl-${unique}`, created: nowInSeconds(context), model: completion.model },
    choices: Array.from({ length: requests.length * n }, (_, i) => new TextChoice(i, { logprobs, echo: echoes[Math.floor(i / n)] ?? '' })),
    start: (sink) =>
      startReply(context.args, {
        by: call.by,
        found: entered.found,
        requestId: call.requestId,
        answers: answers.names,
        requests,
        n,
        param: 'prompt',
        sink,
      }),
  };
}

/** A whole answer. @throws what `openAiError` can show */
export async function completionWhole(context: OpenAiContext, call: Call): Promise<Whole> {
  return wholeOf(await begin(context, call));
}

function wholeOf({ head, entered, choices, start }: Begun): Whole {
  let device: string | undefined;
  const reply = start({
    started: (where) => void (device ??= where),
    text: (index, text, logprobs) => choices[index]?.text(text, logprobs),
    finished: (index, reason) => choices[index]?.finished(reason),
  });
  return {
    headers: entered.admitted.headers,
    cancel: () => reply.cancel(),
    over: reply.over.then((end) => {
      entered.admitted.settle(end.usage.promptTokens + end.usage.completionTokens);
      const where = device === undefined ? {} : { device };
      if (!end.ok) return { ...end.error, ...where };
      return { status: 200, body: textCompletion(head, choices, usageOf(end.usage)), ...where };
    }),
  };
}

export async function serveCompletion(
  context: OpenAiContext,
  call: Call,
  { request, reply }: { request: FastifyRequest; reply: FastifyReply },
): Promise<FastifyReply> {
  const begun = await begin(context, call);
  if (!begun.completion.stream) return sendWhole(reply, wholeOf(begun));
  const { completion, head, entered, choices, start } = begun;
  const none = completion.includeUsage ? null : undefined;
  const piece = (index: number): string => sseEvent(textCompletion(head, [choices[index]?.piece() ?? {}], none));
  const stream = new EventStream({
    host: context.args.host,
    request,
    reply,
    headers: entered.admitted.headers,
    prologue: completion.echoes.some((echo) => echo !== '') ? choices.map((_, index) => piece(index)).join('') : '',
    onLeft: () => answer.cancel(),
    kept: undefined,
  });
  const answer = start({
    started: (device) => void (stream.device = device),
    text(index, text, logprobs) {
      choices[index]?.text(text, logprobs);
      if (text !== '' || logprobs.length > 0) stream.write(piece(index));
    },
    finished(index, reason) {
      choices[index]?.finished(reason);
      stream.write(piece(index));
    },
  });
  void answer.over.then((end) => {
    entered.admitted.settle(end.usage.promptTokens + end.usage.completionTokens);
    if (!end.ok) return stream.fail(end.error);
    const usage = completion.includeUsage ? sseEvent(textCompletion(head, [], usageOf(end.usage))) : '';
    return stream.end(usage + SSE_DONE);
  });
  await stream.over;
  return reply;
}
