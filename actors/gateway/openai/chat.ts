import type { FastifyReply, FastifyRequest } from 'fastify';

import { startReply, type Reply, type ReplySink } from './answers.ts';
import { type AnswerHead, chatCompletion, type ChoiceReading, ChoiceStream, SSE_DONE, usageEvent, usageOf, WholeChoice } from './chunks.ts';
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
import type { KeptStreams } from './kept-streams.ts';
import { readingOf, type Shown } from './revived-streams.ts';
import { type ChatRequest, parseChatRequest } from './schema.ts';

/** `POST /v1/chat/completions`. */

interface Begun {
  readonly chat: ChatRequest;
  readonly head: AnswerHead;
  readonly entered: Entered;
  readonly reading: (index: number) => ChoiceReading;
  readonly start: (sink: ReplySink, shown?: string) => Reply;
}

async function begin(context: OpenAiContext, call: Call): Promise<Begun> {
  const chat = parseChatRequest(call.body, newSeed(context));
  const { found, admitted } = await enter(context, call, chat.model, chat.request.sampling.maxTokens * chat.n);
  const unique = context.args.randomId();
  const answers = answerNames(context, unique, chat.n);
  const entered = { found, admitted: { ...admitted, headers: { ...admitted.headers, ...answers.headers } } };
  const id = `chatcmpl-${unique}`;
  return {
    chat,
    entered,
    head: { id, created: nowInSeconds(context), model: chat.model },
    reading: readingOf(id, chat),
    start: (sink, shown) =>
      startReply(context.args, {
        by: call.by,
        found: entered.found,
        requestId: call.requestId,
        answers: answers.names,
        requests: [chat.request],
        n: chat.n,
        param: 'messages',
        sink,
        shown,
      }),
  };
}

/** A whole answer. @throws what `openAiError` can show */
export async function chatWhole(context: OpenAiContext, call: Call): Promise<Whole> {
  return wholeOf(await begin(context, call));
}

function wholeOf({ chat, head, entered, reading, start }: Begun): Whole {
  const choices = Array.from({ length: chat.n }, (_, index) => new WholeChoice(index, reading(index)));
  let device: string | undefined;
  const reply = start({
    started: (where) => void (device ??= where),
    text: (index, text, logprobs) => choices[index]?.text(text, logprobs),
    finished: (index, reason) => choices[index]?.finished(reason),
  });
  const { admitted } = entered;
  return {
    headers: admitted.headers,
    cancel: () => reply.cancel(),
    over: reply.over.then((end) => {
      admitted.settle(end.usage.promptTokens + end.usage.completionTokens);
      const where = device === undefined ? {} : { device };
      if (!end.ok) return { ...end.error, ...where };
      return { status: 200, body: chatCompletion(head, choices, usageOf(end.usage)), ...where };
    }),
  };
}

export async function serveChat(
  context: OpenAiContext & { readonly streams: KeptStreams },
  call: Call,
  { request, reply }: { request: FastifyRequest; reply: FastifyReply },
): Promise<FastifyReply> {
  const begun = await begin(context, call);
  if (!begun.chat.stream) return sendWhole(reply, wholeOf(begun));
  const { chat, head, entered, reading, start } = begun;
  const { host } = context.args;
  const withUsage = chat.includeUsage;
  const choices = Array.from({ length: chat.n }, (_, index) => new ChoiceStream(head, index, { reading: reading(index), withUsage }));
  const keepMs = keepMsOf(request);
  const kept = keepMs === 0 ? undefined : (context.streams.keep(head.id, call.by.keyId, keepMs) ?? undefined);
  const stream = new EventStream({
    host,
    request,
    reply,
    headers: { ...entered.admitted.headers, ...(kept === undefined ? {} : { 'x-corpgrid-stream': head.id }) },
    prologue: choices.map((choice) => choice.role()).join(''),
    onLeft: () => (kept === undefined ? answer.cancel() : context.streams.detached(head.id)),
    kept,
  });
  const { calls, logprobs } = chat;
  // With several choices the order of their events is an accident that nobody could repeat.
  const shown: Shown | null =
    kept === undefined || chat.n > 1 ? null : { id: head.id, created: head.created, keepMs, withUsage, calls, logprobs };
  const sink: ReplySink = {
    started: (device) => void (stream.device = device),
    text: (index, text, logprobs) => stream.write(choices[index]?.text(text, logprobs) ?? ''),
    finished: (index, reason) => stream.write(choices[index]?.finished(reason) ?? ''),
  };
  const answer = start(sink, shown === null ? undefined : JSON.stringify(shown));
  if (kept !== undefined) kept.giveUp = () => answer.cancel();
  void answer.over.then((end) => {
    entered.admitted.settle(end.usage.promptTokens + end.usage.completionTokens);
    if (!end.ok) return stream.fail(end.error);
    return stream.end((withUsage ? usageEvent(head, usageOf(end.usage)) : '') + SSE_DONE);
  });
  await stream.over;
  return reply;
}

const MOST_KEEP_SECONDS = 300;

/** `x-corpgrid-keep: 30` keeps a stream for so many seconds without a connection. Without it a client that leaves ends its work. */
function keepMsOf(request: FastifyRequest): number {
  const seconds = Number(request.headers['x-corpgrid-keep'] ?? 0);
  return Number.isFinite(seconds) && seconds > 0 ? Math.min(seconds, MOST_KEEP_SECONDS) * 1_000 : 0;
}
