/**
 * What a user would take instead, and what it takes to run it. The packages are installed here
 * when they are first wanted, and are no dependency of the library. Tools are those of the system.
 */

import { existsSync } from "node:fs";
import { delimiter, join } from "node:path";
import { program } from "./native.ts";

const packages = join(import.meta.dir, "node_modules");

/** A program for Node to run, or the reason why there is none. */
export type NodeProgram = { node: string; version: string; file: string } | { missing: string };

/** Finds Node, installs ZeroMQ, and makes the row's program readable for any Node. */
export async function prepareZeroMQ(): Promise<NodeProgram> {
  const node = findNode();
  if (node === null) return { missing: "there is no Node on this machine" };
  const failure = await installPackages();
  if (failure !== null) return { missing: failure };
  const built = await Bun.build({
    entrypoints: [join(import.meta.dir, "rows", "zeromq-node.ts")],
    outdir: join(packages, ".cache"),
    naming: "[name].mjs",
    target: "node",
  });
  const file = built.outputs[0]?.path;
  return file === undefined ? { missing: "its program cannot be built" } : { ...node, file };
}

/** `bun run` puts Bun itself on the path under the name of Node; that one is passed over. */
export function findNode(): { node: string; version: string } | null {
  for (const directory of (process.env["PATH"] ?? "").split(delimiter)) {
    const node = join(directory, "node");
    if (!existsSync(node)) continue;
    const ask = ["-p", "process.versions.bun === undefined ? process.versions.node : ''"];
    const asked = Bun.spawnSync([node, ...ask], { stderr: "ignore" });
    const version = asked.stdout.toString().trim();
    if (asked.success && version !== "") return { node, version };
  }
  return null;
}

async function installPackages(): Promise<string | null> {
  if (existsSync(join(packages, "zeromq", "package.json"))) return null;
  const install = Bun.spawn([process.execPath, "install", "--frozen-lockfile"], {
    cwd: import.meta.dir,
    stdin: "ignore",
    stdout: Bun.file("/dev/stderr"),
    stderr: "inherit",
  });
  return (await install.exited) === 0 ? null : "its packages cannot be installed";
}

/** The version of an installed package, or null. */
export async function packageVersion(name: string): Promise<string | null> {
  const file = Bun.file(join(packages, name, "package.json"));
  if (!(await file.exists())) return null;
  return ((await file.json()) as { version: string }).version;
}

/** A program that the system's packages bring, or null. */
export function findTool(name: string): string | null {
  // Daemons stand where users do not look.
  const path = [process.env["PATH"] ?? "", "/usr/sbin", "/usr/local/sbin"].join(delimiter);
  return Bun.which(name, { PATH: path });
}

export function toolVersion(name: string, option: string, version: RegExp): string | null {
  const tool = findTool(name);
  if (tool === null) return null;
  const { stdout } = Bun.spawnSync([tool, option], { stderr: "ignore" });
  return version.exec(stdout.toString())?.[1] ?? "unknown";
}

/** The version of the system's libzmq, or null. */
export function libzmqVersion(): string | null {
  const { success, stdout } = Bun.spawnSync([program("peer_zeromq"), "version"], {
    stderr: "ignore",
  });
  return success ? stdout.toString().trim() : null;
}
