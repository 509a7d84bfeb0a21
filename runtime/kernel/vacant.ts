/** An array of `length` vacant places, for rings and wheels. */
export function vacant<T>(length: number): (T | undefined)[] {
  // oxlint-disable-next-line unicorn/no-new-array -- Array.from takes many times as long, and rings grow while messages wait
  return new Array<T | undefined>(length).fill(undefined);
}
