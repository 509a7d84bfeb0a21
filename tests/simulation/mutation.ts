/** A defect put into the source on purpose, to see that the simulation notices it. */
export interface Mutation {
  readonly name: string;
  /** From the root of the project. */
  readonly file: string;
  /** Stands in the file exactly once. */
  readonly find: string;
  readonly replace: string;
}

/** The source with the defect. Throws when the place is not there any more, or not alone: then the mutation must be told anew. */
export function mutate(source: string, { name, file, find, replace }: Mutation): string {
  const places = source.split(find).length - 1;
  if (places !== 1) throw new Error(`the mutation '${name}' finds its place ${places} times in ${file}`);
  return source.replace(find, () => replace);
}
