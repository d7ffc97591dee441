/** Where a native library is: in the package for this platform, or in the repository where it was built. */

import { suffix } from "bun:ffi";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { IpcError } from "./errors.ts";
import type { Packages } from "./packages.ts";
import { packages } from "./packages.ts";
import { packageName, platformName } from "./platforms.ts";

export type Place = {
  readonly path: string;
  /** What to do if what is there turns out to be no good. */
  readonly advice: string;
};

/** Throws an IpcError if there is none. */
export function placeOf(library: string): Place {
  return packages === undefined ? builtPlace(library) : packagedPlace(library, packages);
}

function builtPlace(library: string): Place {
  const build = "bun run build";
  const path = join(import.meta.dir, "..", "..", "zig-out", "lib", `lib${library}.${suffix}`);
  if (existsSync(path)) return { path, advice: `build it again with: ${build}` };
  throw new IpcError("ELIBRARY", `ELIBRARY: ${path} is not built; build it with: ${build}`, {
    path,
  });
}

/** What Bun puts the files of a program of one file under, which no other program sees. */
const embedded = "/$bunfs/";

function packagedPlace(library: string, { version, files }: Packages): Place {
  const platform = platformName();
  const libraries = files[platform];
  if (libraries === undefined) {
    throw new IpcError(
      "ELIBRARY",
      `ELIBRARY: there is no lib${library} for ${platform}; run this on one of ` +
        `${Object.keys(files).join(", ")}, or from a clone of earshot's repository, which builds one`,
    );
  }
  const wanted = `${packageName(platform)}@${version}`;
  const install = `install it beside earshot ${version} (bun add --optional ${wanted})`;
  let path: string;
  try {
    path = libraries[library]!();
  } catch (cause) {
    throw new IpcError(
      "ELIBRARY",
      `ELIBRARY: lib${library} for ${platform} is missing: it comes with ${wanted}, an optional ` +
        `dependency of earshot; ${install}, and build again what was built without it`,
      { cause },
    );
  }
  if (!path.startsWith(embedded)) return { path, advice: `${install}, in place of what is there` };
  return {
    path,
    advice:
      `${install}, and build ${process.execPath} again; Bun unpacks the library into the folder ` +
      "for temporary files, which has to be writable",
  };
}
