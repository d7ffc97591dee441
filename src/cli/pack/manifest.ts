/** What the package.json of each package takes over from the repository's. */

import { copyFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import repository from "../../../package.json" with { type: "json" };
import { root } from "./tool.ts";

/** Of all packages: they are built, published and installed together. */
export const { version } = repository;

const { license, author, engines } = repository;

export type Manifest = { name: string; description: string } & Record<string, unknown>;

/** Writes the package.json, and puts the licence beside it. */
export function writeManifest(folder: string, { name, description, ...rest }: Manifest): void {
  const manifest = {
    name,
    version,
    description,
    license,
    author,
    type: "module",
    engines,
    // What has a scope is published for a few otherwise.
    publishConfig: { access: "public" },
    ...rest,
  };
  writeFileSync(join(folder, "package.json"), `${JSON.stringify(manifest, null, 2)}\n`);
  copyFileSync(join(root, "LICENSE"), join(folder, "LICENSE"));
}
