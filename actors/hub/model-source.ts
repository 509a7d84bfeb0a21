import { GridError } from '#runtime/errors.ts';

/** Where a model file comes from. */
export interface ModelSource {
  /** As it was asked for. */
  readonly text: string;
  readonly url: string;
  /** The file's name without its ending: the model's name when nobody gives another. */
  readonly name: string;
}

export const DEFAULT_HUB = 'https://huggingface.co';

const FIX = 'give hf:OWNER/REPOSITORY/FILE.gguf (with @REVISION, if you like), an http(s) address that ends with .gguf, or a local file';
const SEGMENT = /^[\w.-]+$/;

function refuse(text: string, why: string): never {
  throw new GridError('BAD_REQUEST', `${JSON.stringify(text.slice(0, 200))} is not a model to pull: ${why}`, { path: 'source', fix: FIX });
}

/**
 * Reads `hf:owner/repository/path/file.gguf[@revision]` or an http(s) address.
 *
 * @param hub address of the model hub, or of a mirror with the same paths
 * @throws GridError BAD_REQUEST with the forms that are known
 */
export function parseModelSource(text: string, hub: string = DEFAULT_HUB): ModelSource {
  if (text.startsWith('hf:')) return fromHub(text, hub);
  const url = URL.canParse(text) ? new URL(text) : refuse(text, 'it has none of the known forms');
  if (url.protocol !== 'https:' && url.protocol !== 'http:') refuse(text, `${url.protocol} is no way to fetch a file`);
  // It would end up in the log and in the list of models.
  if (url.username !== '' || url.password !== '') refuse('', 'an address with a password in it is not kept');
  return { text, url: url.href, name: nameOf(text, decodeURIComponent(url.pathname)) };
}

function fromHub(text: string, hub: string): ModelSource {
  const [path = '', revision = 'main', ...more] = text.slice('hf:'.length).split('@');
  const segments = path.split('/');
  if (more.length > 0 || segments.length < 3) refuse(text, 'it needs an owner, a repository and a file');
  for (const segment of [...segments, revision]) {
    if (!SEGMENT.test(segment) || segment === '.' || segment === '..') refuse(text, `${JSON.stringify(segment)} is no part of a path`);
  }
  const [owner, repository, ...file] = segments;
  return { text, url: `${hub}/${owner}/${repository}/resolve/${revision}/${file.join('/')}`, name: nameOf(text, path) };
}

function nameOf(text: string, path: string): string {
  const file = path.split('/').at(-1) ?? '';
  if (!/\.gguf$/i.test(file)) refuse(text, 'the file does not end with .gguf');
  const name = file.slice(0, -'.gguf'.length);
  if (!/^[\w.:-]{1,100}$/.test(name)) refuse(text, 'its name has characters other than letters, digits, dot, dash, colon and underscore');
  return name;
}
