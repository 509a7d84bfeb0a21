import type { FastifyReply, FastifyRequest } from 'fastify';

import { startReply } from './answers.ts';
import { answerNames, type Call, enter, newSeed, nowInSeconds, type OpenAiContext, sendWhole } from './endpoint.ts';
import { EventStream } from './event-stream.ts';
import { ResponseWriter } from './response-objects.ts';
import { parseResponsesRequest } from './schema-responses.ts';

/** `POST /v1/responses`. */
export async function serveResponses(
  context: OpenAiContext,
  call: Call,
  { request, reply }: { request: FastifyRequest; reply: FastifyReply },
): Promise<FastifyReply> {
  const { chat, echo } = parseResponsesRequest(call.body, newSeed(context));
  const { found, admitted } = await enter(context, call, chat.model, chat.request.sampling.maxTokens);
  const id = context.args.randomId();
  const unique = id.replaceAll('-', '');
  const answers = answerNames(context, id, 1);
  const headers = { ...admitted.headers, ...answers.headers };
  const head = { id: `resp_${unique}`, created: nowInSeconds(context), model: chat.model, echo };
  const writer = new ResponseWriter(head, { calls: chat.calls, unique });
  const options = { by: call.by, found, requestId: call.requestId, answers: answers.names, requests: [chat.request], n: 1, param: 'input' };

  if (!chat.stream) {
    let device: string | undefined;
    const answer = startReply(context.args, {
      ...options,
      sink: {
        started: (where) => void (device ??= where),
        text: (_index, text) => void writer.text(text),
        finished: (_index, reason) => void writer.finished(reason),
      },
    });
    return sendWhole(reply, {
      headers,
      cancel: () => answer.cancel(),
      over: answer.over.then((end) => {
        admitted.settle(end.usage.promptTokens + end.usage.completionTokens);
        const where = device === undefined ? {} : { device };
        return end.ok ? { status: 200, body: writer.whole(end.usage), ...where } : { ...end.error, ...where };
      }),
    });
  }

  const stream = new EventStream({
    host: context.args.host,
    request,
    reply,
    headers,
    prologue: writer.begin(),
    onLeft: () => answer.cancel(),
    kept: undefined,
    failure: ({ body }) => writer.failed(body.error),
  });
  const answer = startReply(context.args, {
    ...options,
    sink: {
      started: (device) => void (stream.device = device),
      text: (_index, text) => stream.write(writer.text(text)),
      finished: (_index, reason) => stream.write(writer.finished(reason)),
    },
  });
  void answer.over.then((end) => {
    admitted.settle(end.usage.promptTokens + end.usage.completionTokens);
    return end.ok ? stream.end(writer.end(end.usage)) : stream.fail(end.error);
  });
  await stream.over;
  return reply;
}
