/**
 * The packages that bring the native libraries. In the repository there are none, and the libraries are those that were
 * built last. What is published has another module in this one's place, which `bun run pack` writes: a literal import
 * for each library of each platform, so that a bundler sees it and `bun build --compile` puts the library into the file
 * that it makes.
 */

/** For each platform, by its name, the libraries by theirs: what is called returns where the library is, or throws. */
export type Packages = {
  /** Of all of them; they belong together only if they have the same. */
  readonly version: string;
  readonly files: Readonly<Record<string, Readonly<Record<string, () => string>>>>;
};

export const packages: Packages | undefined = undefined;
