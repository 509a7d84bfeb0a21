import { GridError } from '#runtime/errors.ts';

/** One part of a form. */
export interface FormPart {
  readonly name: string;
  readonly filename: string | undefined;
  readonly bytes: Buffer;
}

const MOST_PARTS = 32;
const MOST_HEAD = 4_096;
const BOUNDARY = /boundary=(?:"([^"]{1,70})"|([^\s;]{1,70}))/i;
const NAME = /[;\s]name="([^"]{0,200})"/i;
const FILENAME = /[;\s]filename="([^"]{0,500})"/i;

/**
 * Reads a whole multipart/form-data body (RFC 7578) that lies in memory, as clients send small files.
 *
 * @throws GridError BAD_REQUEST when it is none
 */
export function readMultipart(body: Buffer, contentType: string): FormPart[] {
  const found = BOUNDARY.exec(contentType);
  const boundary = found?.[1] ?? found?.[2];
  if (boundary === undefined) throw malformed('it names no boundary');
  const mark = Buffer.from(`--${boundary}`);
  const next = Buffer.from(`\r\n--${boundary}`);
  if (!body.subarray(0, mark.length).equals(mark)) throw malformed('it does not begin with its boundary');
  const parts: FormPart[] = [];
  let at = mark.length;
  while (body.subarray(at, at + 2).toString('latin1') !== '--') {
    if (parts.length >= MOST_PARTS) throw malformed(`it has more than ${MOST_PARTS} parts`);
    if (body.subarray(at, at + 2).toString('latin1') !== '\r\n') throw malformed('a boundary does not end its line');
    const headEnd = body.indexOf('\r\n\r\n', at);
    const end = headEnd < 0 ? -1 : body.indexOf(next, headEnd + 2);
    if (headEnd < 0 || end < 0 || headEnd - at > MOST_HEAD) throw malformed('a part has no end');
    const head = body.subarray(at, headEnd).toString('utf8');
    const name = NAME.exec(head)?.[1];
    if (name === undefined) throw malformed('a part has no name');
    parts.push({ name, filename: FILENAME.exec(head)?.[1], bytes: body.subarray(headEnd + 4, end) });
    at = end + next.length;
  }
  return parts;
}

function malformed(why: string): GridError {
  return new GridError('BAD_REQUEST', `The body is no multipart/form-data: ${why}.`);
}
