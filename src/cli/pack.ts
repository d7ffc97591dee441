/** `pack`: the npm packages of this version, as they are published. */

import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import type { Platform } from "../native/platforms.ts";
import { packageName, platformName, platforms } from "../native/platforms.ts";
import { choice, text, UsageError } from "../services/option.ts";
import { commonOptions, readArguments } from "./arguments.ts";
import { CommandError, help, run, status } from "./command.ts";
import { printable, tell, writeAll } from "./output.ts";
import { layMainPackage } from "./pack/main-package.ts";
import { layPlatformPackage } from "./pack/platform-package.ts";
import { root, runTool } from "./pack/tool.ts";

const own = "this";

const options = {
  out: text("DIR", "where to put the tarballs (default: zig-out/packages)"),
  platform: choice(
    "NAME",
    [own, ...platforms.map(({ name }) => name)],
    "beside earshot itself, only the package of this one (default: of all)",
  ),
  ...commonOptions,
} as const;

const command = {
  name: "pack",
  usage: "[OPTIONS…]",
  about: `
Builds the native libraries for every platform, and writes the npm packages of this version:
"earshot", and one for each platform with its libraries, which "earshot" depends on where the
platform is that one. Prints a line for each tarball: its path, and how many bytes it has.`,
  options,
};

await run(command, main);

function main(given: readonly string[]): number {
  const { words, values } = readArguments(given, options);
  if (words.length > 0) throw new UsageError(`"${words[0]}" is one word too many`);
  if (values.help === true) {
    tell(1, help(command));
    return status.done;
  }
  const out = resolve(values.out ?? join(root, "zig-out", "packages"));
  mkdirSync(out, { recursive: true });
  // Within the repository, so that the compiler finds the types that the sources need.
  mkdirSync(join(root, "zig-out"), { recursive: true });
  const stage = mkdtempSync(join(root, "zig-out", "packing-"));
  try {
    for (const folder of lay(stage, chosen(values.platform))) report(writeTarball(folder, out));
  } finally {
    rmSync(stage, { recursive: true, force: true });
  }
  return status.done;
}

function chosen(name: string | undefined): readonly Platform[] {
  if (name === undefined) return platforms;
  const wanted = name === own ? platformName() : name;
  const found = platforms.filter((platform) => platform.name === wanted);
  if (found.length === 0) throw new CommandError(`there is no package for ${wanted}`);
  return found;
}

/** Lays out the packages as they are to be packed, and returns their folders. */
function lay(stage: string, wanted: readonly Platform[]): string[] {
  const only = wanted.length === 1 ? [`-Dplatform=${wanted[0]!.target}`] : [];
  tell(2, `pack: building the libraries for ${wanted.map(({ name }) => name).join(", ")}\n`);
  // Into a folder that was empty: whatever lies there afterwards is what the build's list of libraries brings.
  runTool([process.execPath, "run", "build", "cross", ...only, "--prefix", stage], root);
  const built = wanted.map((platform) => {
    const folder = join(stage, "cross", platform.target);
    return { platform, folder, libraries: librariesIn(folder, platform) };
  });
  const main = join(stage, "earshot");
  mkdirSync(main);
  layMainPackage(main, librariesOfAll(built));
  return [main, ...built.map((each) => layOne(stage, each))];
}

type Built = {
  readonly platform: Platform;
  readonly folder: string;
  readonly libraries: readonly string[];
};

function layOne(stage: string, { platform, folder, libraries }: Built): string {
  const destination = join(stage, packageName(platform.name));
  mkdirSync(destination, { recursive: true });
  for (const library of libraries) {
    const file = `lib${library}.${platform.suffix}`;
    copyFileSync(join(folder, file), join(destination, file));
  }
  layPlatformPackage(destination, platform, libraries);
  return destination;
}

/** The shared ones, by the names without a version. */
function librariesIn(folder: string, { suffix }: Platform): string[] {
  const file = new RegExp(`^lib([^.]+)\\.${suffix}$`);
  return readdirSync(folder)
    .flatMap((name) => file.exec(name)?.[1] ?? [])
    .sort();
}

/** A platform whose libraries were not built is taken to have those of the others. */
function librariesOfAll(built: readonly Built[]): Map<string, readonly string[]> {
  const every = [...new Set(built.flatMap(({ libraries }) => libraries))].sort();
  const known = new Map(built.map(({ platform, libraries }) => [platform.name, libraries]));
  return new Map(platforms.map(({ name }) => [name, known.get(name) ?? every]));
}

function writeTarball(folder: string, out: string): string {
  const pack = ["pm", "pack", "--quiet", "--ignore-scripts", "--destination", out];
  const name = runTool([process.execPath, ...pack], folder)
    .trim()
    .split("\n")
    .at(-1)!;
  return join(out, basename(name));
}

function report(tarball: string): void {
  const line = `${printable(tarball)}  ${statSync(tarball).size}\n`;
  writeAll(1, Buffer.from(line));
}
