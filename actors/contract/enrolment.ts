/** What a machine signs to prove that it holds the key which it enrols. */
export function enrolBytes({ token, publicKey, name }: { token: string; publicKey: string; name: string }): Uint8Array {
  // JSON of strings is unambiguous: no two enrolments share their bytes.
  return new TextEncoder().encode(`corpgrid.enrol.v1\0${JSON.stringify([token, publicKey, name])}`);
}
