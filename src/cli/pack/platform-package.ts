/**
 * The package of one platform: its shared libraries, and a module beside each that tells where it is.
 *
 *     libearshot-ipc.so    as it was built
 *     libearshot-ipc.js    imports it as a file, and exports its path
 */

import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Platform } from "../../native/platforms.ts";
import { packageName } from "../../native/platforms.ts";
import { writeManifest } from "./manifest.ts";

/** `folder` has the libraries already. */
export function layPlatformPackage(
  folder: string,
  { name, os, cpu, libc, suffix }: Platform,
  libraries: readonly string[],
): void {
  const files = libraries.flatMap((library) => [`lib${library}.js`, `lib${library}.${suffix}`]);
  for (const library of libraries) {
    writeFileSync(join(folder, `lib${library}.js`), module(`lib${library}.${suffix}`));
  }
  const description = `The native libraries of earshot for ${name}.`;
  writeFileSync(
    join(folder, "README.md"),
    `# ${packageName(name)}\n\n${description} The package \`earshot\` brings it along.\n`,
  );
  writeManifest(folder, {
    name: packageName(name),
    description,
    os: [os],
    cpu: [cpu],
    ...(libc === undefined ? {} : { libc: [libc] }),
    exports: Object.fromEntries(
      ["package.json", ...files].map((file) => [`./${file}`, `./${file}`]),
    ),
    files,
  });
}

function module(file: string): string {
  return `import { isAbsolute, join } from "node:path";
import path from "./${file}" with { type: "file" };

// A bundler puts the library beside the program, and has only its name here.
export default isAbsolute(path) ? path : join(import.meta.dir, path);
`;
}
