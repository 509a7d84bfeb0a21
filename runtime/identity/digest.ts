import { hash } from 'node:crypto';

/** SHA-256 of bytes that are in memory: 32 bytes. */
export function sha256(bytes: Uint8Array): Uint8Array {
  return hash('sha256', bytes, 'buffer');
}

/** SHA-256 of bytes that are in memory: 64 lower-case hex digits, the form of object names and digests. */
export function sha256Hex(bytes: Uint8Array): string {
  return hash('sha256', bytes, 'hex');
}

/** How people recognise a public key: the first 16 hex digits of its SHA-256. */
export function fingerprint(publicKey: string): string {
  return sha256Hex(Buffer.from(publicKey, 'hex')).slice(0, 16);
}
