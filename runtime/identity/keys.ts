import { createPrivateKey, createPublicKey, randomBytes, sign, type KeyObject } from 'node:crypto';
import {
  closeSync,
  constants,
  fstatSync,
  fsyncSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  type Stats,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';

import { GridError } from '#runtime/errors.ts';

/**
 * Who a process is: an Ed25519 key that survives restarts, kept as one PKCS#8 PEM file of mode 0600 in a folder of mode 0700,
 * both owned by the user that runs the process. Looked at anew on every start; a file that others can read is refused, because
 * its secret may be out already.
 *
 * The file appears whole or not at all: it is written and synced under a temporary name, then linked, which fails when another
 * process was first. Then that one's key is everybody's. Windows has neither modes nor owners in this sense; there the folder's
 * access list protects the key.
 */

/** An Ed25519 key whose secret half stays inside. Node's own constant-time signing; the results are those of RFC 8032. */
export interface KeyPair {
  /** 64 lower-case hex digits. */
  readonly publicKey: string;
  /** Answers the 64 bytes of the signature over these bytes. Deterministic. */
  sign(bytes: Uint8Array): Uint8Array;
}

/** DER of a PKCS#8 private key for Ed25519 up to the seed's 32 bytes (RFC 8410). */
const PKCS8_PREFIX = Buffer.from('302e020100300506032b657004220420', 'hex');
const NAME = /^[a-z0-9][a-z0-9-]*$/;
const POSIX = process.getuid !== undefined;

/** A new key. `random` answers that many unpredictable bytes; tests inject it to get the same key twice. */
export function generateKeyPair(random: (count: number) => Uint8Array = randomBytes): KeyPair {
  return keyPairOf(privateKeyFromSeed(random(32)));
}

/** The private key that RFC 8032 derives from 32 secret bytes. */
function privateKeyFromSeed(seed: Uint8Array): KeyObject {
  if (seed.length !== 32) throw new RangeError(`an Ed25519 seed has 32 bytes, not ${seed.length}`);
  return createPrivateKey({ key: Buffer.concat([PKCS8_PREFIX, seed]), format: 'der', type: 'pkcs8' });
}

function keyPairOf(privateKey: KeyObject): KeyPair {
  const spki = createPublicKey(privateKey).export({ format: 'der', type: 'spki' });
  return {
    publicKey: spki.subarray(-32).toString('hex'),
    sign: (bytes) => sign(null, bytes, privateKey),
  };
}

export interface KeyFileOptions {
  /** Answers that many unpredictable bytes. */
  readonly random?: (count: number) => Uint8Array;
  /** The user who must own folder and file: the one who runs this process, unless told otherwise. */
  readonly uid?: number | undefined;
}

/**
 * The key in `<folder>/<name>.key`; makes folder and key when they are missing.
 *
 * @param name lower-case letters, digits and dashes
 * @throws GridError INSECURE_KEY when others can reach the file or the folder, or somebody else owns one of them;
 *   BAD_CONFIGURATION when the file does not hold an Ed25519 key, or the folder is not one.
 */
export function loadOrCreateKey(
  folder: string,
  name: string,
  { random = randomBytes, uid = process.getuid?.() }: KeyFileOptions = {},
): KeyPair {
  if (!NAME.test(name))
    throw new GridError('BAD_CONFIGURATION', `"${name}" cannot be the name of a key: use lower-case letters, digits and dashes`);
  const place = resolve(folder);
  makeFolder(place, uid);
  const file = join(place, `${name}.key`);
  const key = read(file, uid) ?? create(file, privateKeyFromSeed(random(32))) ?? read(file, uid);
  if (key === null) throw new GridError('CONFLICT', `the key file ${file} vanished while it was being made`, { fix: 'Start again.' });
  removeLeftovers(file);
  return keyPairOf(key);
}

function makeFolder(folder: string, uid: number | undefined): void {
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
  } catch (cause) {
    throw new GridError('BAD_CONFIGURATION', `cannot make the folder ${folder} for the key`, {
      fix: 'Name a folder that this user may create.',
      cause,
    });
  }
  checkAccess(statSync(folder), folder, '700', uid);
}

/** Null when there is no such file. What is checked is what is read: one descriptor, links not followed. */
function read(file: string, uid: number | undefined): KeyObject | null {
  let descriptor: number;
  try {
    descriptor = openSync(file, constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0));
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') return null;
    if (code === 'ELOOP')
      throw new GridError('INSECURE_KEY', `the key file ${file} is a symbolic link`, {
        fix: `Put the key itself there, with: chmod 600 ${file}`,
      });
    // Another user's file cannot even be opened; whose it is says more than EACCES does.
    if (code === 'EACCES') checkAccess(lstatSync(file), file, '600', uid);
    throw error;
  }
  try {
    const stats = fstatSync(descriptor);
    if (!stats.isFile()) throw new GridError('BAD_CONFIGURATION', `${file} is not a file`);
    checkAccess(stats, file, '600', uid);
    return parse(readFileSync(descriptor), file);
  } finally {
    closeSync(descriptor);
  }
}

function parse(pem: Buffer, file: string): KeyObject {
  const fix = 'Restore it from a backup; or remove it to start with a new identity, which has to be enrolled again.';
  let key: KeyObject;
  try {
    key = createPrivateKey(pem);
  } catch (cause) {
    throw new GridError('BAD_CONFIGURATION', `the key file ${file} does not hold a private key in PEM form`, { fix, cause });
  }
  if (key.asymmetricKeyType !== 'ed25519') throw new GridError('BAD_CONFIGURATION', `the key in ${file} is not an Ed25519 key`, { fix });
  return key;
}

function checkAccess(stats: Stats, path: string, mode: '600' | '700', uid: number | undefined): void {
  if (uid === undefined) return;
  if (stats.uid !== uid) {
    throw new GridError('INSECURE_KEY', `${path} belongs to user ${stats.uid}, not to user ${uid} who runs this process`, {
      fix: `Run: chown ${uid} ${path} && chmod ${mode} ${path}`,
    });
  }
  if ((stats.mode & 0o077) !== 0) {
    const found = (stats.mode & 0o777).toString(8).padStart(3, '0');
    throw new GridError('INSECURE_KEY', `${path} is open to other users (mode ${found})`, { fix: `Run: chmod ${mode} ${path}` });
  }
}

/** Null when another process was first: its key is the key. */
function create(file: string, key: KeyObject): KeyObject | null {
  const temporary = `${temporaryPrefix(file)}${randomBytes(8).toString('hex')}`;
  const descriptor = openSync(temporary, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, 0o600);
  try {
    writeFileSync(descriptor, key.export({ format: 'pem', type: 'pkcs8' }));
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
  try {
    linkSync(temporary, file);
  } catch (error) {
    // ENOENT: the one who was first has cleaned up our temporary file already.
    if (['EEXIST', 'ENOENT'].includes((error as NodeJS.ErrnoException).code ?? '')) return null;
    throw error;
  } finally {
    rmSync(temporary, { force: true });
  }
  syncFolder(dirname(file));
  return key;
}

/** Hidden, beside the key: a link cannot cross file systems. */
const temporaryPrefix = (file: string): string => join(dirname(file), `.${basename(file)}.new-`);

/** A process that died between writing and unlinking left a copy of a secret behind. */
function removeLeftovers(file: string): void {
  const prefix = temporaryPrefix(file);
  for (const entry of readdirSync(dirname(file))) {
    const path = join(dirname(file), entry);
    if (path.startsWith(prefix)) rmSync(path, { force: true });
  }
}

/** Makes the new name durable. Windows cannot sync a folder and does not need to. */
function syncFolder(folder: string): void {
  if (!POSIX) return;
  const descriptor = openSync(folder, constants.O_RDONLY);
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}
