/**
 * What `bun run pack` writes, as whoever installs it has it: in an empty folder, without Zig and without the
 * repository, from a registry that has these packages only.
 */

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import {
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { basename, join } from "node:path";
import { publint } from "publint";
import { formatMessage } from "publint/utils";
import repository from "../../package.json" with { type: "json" };
import { packageName, platformName, platforms } from "../../src/native/platforms.ts";
import type { Ended } from "../kit/command.ts";
import { Command, earshot, leaveNoCommand, run } from "../kit/command.ts";
import { leaveNoTrace } from "../kit/no-trace.ts";
import { commandsOfReadme, programs, writePrograms } from "../kit/readme.ts";
import { Registry } from "../kit/registry.ts";
import { Scratch } from "../kit/scratch.ts";

leaveNoTrace();
leaveNoCommand();

const root = join(import.meta.dir, "..", "..");
const { version } = repository;
const dependencies = Object.keys(repository.dependencies);
const here = platforms.find(({ name }) => name === platformName())!;
const packageHere = packageName(here.name);
const library = `libearshot-ipc.${here.suffix}`;

/** Where a program is that is not Bun, which puts itself in the place of Node for what it runs. */
function find(name: string): string | undefined {
  return (process.env["PATH"] ?? "")
    .split(":")
    .map((folder) => join(folder, name))
    .filter((path) => existsSync(path))
    .find((path) => !basename(realpathSync(path)).startsWith("bun"));
}

const tools = [
  ["bun", process.execPath],
  ["npm", find("npm")],
  ["node", find("node")],
] as const;
const hasNpm = tools.every(([, path]) => path !== undefined);

describe("packed and installed", () => {
  let scratch: Scratch;
  let registry: Registry;
  /** The environment of whoever installs: nothing of this one, and no program but Bun and npm. */
  let env: Record<string, string | undefined>;

  beforeAll(async () => {
    scratch = new Scratch();
    for (const name of ["tools", "home", "temporary", "run"]) mkdirSync(scratch.join(name));
    for (const [name, path] of tools) {
      if (path !== undefined) symlinkSync(realpathSync(path), scratch.join(`tools/${name}`));
    }
    env = {
      ...Object.fromEntries(Object.keys(process.env).map((name) => [name, undefined])),
      PATH: scratch.join("tools"),
      HOME: scratch.join("home"),
      // What a program of one file unpacks stays there.
      TMPDIR: scratch.join("temporary"),
      BUN_INSTALL_CACHE_DIR: scratch.join("home/bun"),
      npm_config_cache: scratch.join("home/npm"),
      EARSHOT_RUNDIR: scratch.join("run"),
    };
    const out = scratch.join("tarballs");
    await done(earshot("pack", "--platform", "this", "--out", out), { folder: root, env: {} });
    for (const name of dependencies) {
      const folder = join(root, "node_modules", name);
      await done(["bun", "pm", "pack", "--ignore-scripts", "--destination", out], { folder });
    }
    registry = await Registry.open(out);
    await install("bun add earshot", "bun");
  });

  afterAll(async () => {
    await registry[Symbol.asyncDispose]();
    scratch[Symbol.dispose]();
  });

  /** Runs a command to its end, however long that takes, which must be a good one. */
  async function done(
    words: readonly string[],
    options: { folder: string; env?: Record<string, string | undefined> },
  ): Promise<Ended> {
    await using command = new Command(words, { env, ...options });
    const ended = await command.ended;
    expect(ended, `${words.join(" ")}\n${ended.stdout}${ended.stderr}`).toMatchObject({ code: 0 });
    return ended;
  }

  /** An empty folder in which earshot is installed by a command of the README, and its programs are. */
  async function install(command: string, name: string): Promise<string> {
    const folder = scratch.join(name);
    mkdirSync(folder);
    writeFileSync(join(folder, "package.json"), '{ "private": true, "type": "module" }');
    await done([...command.split(" "), "--registry", registry.url], { folder });
    writePrograms(folder);
    return folder;
  }

  /** The folder in which Bun has installed it. */
  const installed = (ending = "") => join(scratch.join("bun"), ending);

  /** Starts the one for pong, and then the others, which get their answer. */
  async function talk(pong: readonly string[], ...clients: (readonly string[])[]): Promise<void> {
    const folder = scratch.path;
    await using service = new Command(pong, { env, folder });
    await service.says("pong: listening on ");
    for (const client of clients) {
      expect(await run(client, { env, folder })).toMatchObject({ code: 0, stdout: "hello\n" });
    }
    await service.end("SIGTERM");
  }

  /** What making a context comes to in a folder, and in a process in which something was done before. */
  async function probe(folder: string, before = ""): Promise<{ code: string; message: string }> {
    writeFileSync(join(folder, "probe.ts"), probing(before));
    return JSON.parse((await done(["bun", "probe.ts"], { folder })).stdout);
  }

  const probing = (before = "") => `
    import { Context, IpcError } from "earshot";
    ${before};
    try {
      new Context().close();
      console.log(JSON.stringify({ code: "loaded" }));
    } catch (error) {
      if (!(error instanceof IpcError)) throw error;
      console.log(JSON.stringify({ code: error.code, message: error.message }));
    }`;

  /** A copy of the folder in which it is installed, for a test that harms it. */
  function copy(name: string): string {
    const folder = scratch.join(name);
    cpSync(installed(), folder, { recursive: true });
    return folder;
  }

  test("two programs talk through shared memory, sealed", async () => {
    const folder = copy("memory");
    writeFileSync(
      join(folder, "both.ts"),
      `import { ClientSocket, keyPair, ServerSocket } from "earshot/memory";
      const [ours, theirs] = [keyPair(), keyPair()];
      await using server = new ServerSocket();
      server.onData = (socket, bytes) => void socket.write(bytes);
      await server.listen("pong", { keys: ours, allow: [theirs.publicKey] });
      await using client = new ClientSocket();
      const { promise, resolve } = Promise.withResolvers<string>();
      client.onData = (bytes) => resolve(new TextDecoder().decode(bytes));
      await client.connect("pong", { keys: theirs, peer: ours.publicKey });
      client.write("hello");
      console.log(await promise);`,
    );
    expect((await done(["bun", "both.ts"], { folder })).stdout).toBe("hello\n");
  });

  test("a service and its client talk sealed, and a page finds its half", async () => {
    const folder = copy("sealed");
    writeFileSync(
      join(folder, "sealed.ts"),
      `import { connect, serve } from "earshot";
      import { keyPair } from "earshot/crypto";
      import { keyPair as ofPage, SealedConnection } from "earshot/browser";
      const [ours, theirs] = [keyPair(), ofPage()];
      await using pong = await serve(
        "pong",
        { message: (connection, message) => void connection.send(message.bytes) },
        { memory: true, seal: { keys: ours, allow: [theirs.publicKey] } },
      );
      for (const transport of ["unix", "memory"] as const) {
        const seal = { keys: theirs, peer: ours.publicKey };
        await using client = await connect("pong", { transport, seal });
        console.log((await client.request(typeof SealedConnection.over)).text());
      }`,
    );
    const { stdout } = await done(["bun", "sealed.ts"], { folder });
    expect(stdout).toBe("function\nfunction\n");
    const bundled = [
      "bun",
      "build",
      "--target=browser",
      "node_modules/earshot/dist/crypto/browser/index.js",
    ];
    await done([...bundled, "--outfile=page.js"], { folder });
  });

  test("there is nothing to build it with", () => {
    expect(Bun.which("zig", { PATH: env["PATH"]! })).toBeNull();
    expect(commandsOfReadme).toContain("bun add earshot");
    expect(commandsOfReadme).toContain("npm install earshot");
  });

  test("an installer brings earshot, what it depends on and the package of its platform", () => {
    const brought = ["@earshot", "earshot", ...dependencies].sort();
    expect(readdirSync(installed("node_modules")).sort()).toEqual(brought);
    expect(readdirSync(installed("node_modules/@earshot"))).toEqual([here.name]);
  });

  test("the README's programs talk to each other", async () => {
    const program = (name: string) => ["bun", installed(name)];
    await talk(program("pong.ts"), program("hello.ts"), program("loop.ts"));
  });

  test.skipIf(!hasNpm)("the same from npm", async () => {
    const folder = await install("npm install earshot", "npm");
    expect(readdirSync(join(folder, "node_modules/@earshot"))).toEqual([here.name]);
    const program = (name: string) => ["bun", join(folder, name)];
    await talk(program("pong.ts"), program("hello.ts"));
  });

  test("each program as a single file, run elsewhere when what it was made of is gone", async () => {
    const folder = copy("single");
    const file = (name: string) => scratch.join(`elsewhere/${name}`);
    mkdirSync(file(""));
    for (const name of ["pong", "hello"]) {
      const words = ["bun", "build", "--compile", `${name}.ts`, "--outfile", file(name)];
      await done(words, { folder });
    }
    renameSync(folder, scratch.join("away"));
    await talk([file("pong")], [file("hello")]);
  });

  // Where it is unpacked to is for Bun to say, and other systems have other folders to fall back on.
  test.skipIf(process.platform !== "linux")(
    "a single file that cannot unpack says so",
    async () => {
      const folder = copy("unpacked");
      writeFileSync(join(folder, "probe.ts"), probing());
      const words = ["bun", "build", "--compile", "probe.ts", "--outfile", "probe"];
      await done(words, { folder });
      const { stdout } = await done([join(folder, "probe")], {
        folder,
        env: { ...env, TMPDIR: scratch.join("nowhere"), BUN_TMPDIR: scratch.join("nowhere") },
      });
      const error = JSON.parse(stdout);
      expect(error).toMatchObject({ code: "ELIBRARY" });
      expect(error.message).toContain("temporary files");
    },
  );

  test("bundled, with the libraries beside the bundle", async () => {
    const out = scratch.join("bundled");
    const words = ["bun", "build", "--target=bun", "pong.ts", "hello.ts", "--outdir", out];
    await done(words, { folder: installed() });
    const libraries = (folder: string) =>
      readdirSync(folder).filter((name) => name.endsWith(here.suffix)).length;
    expect(libraries(out)).toBe(libraries(installed(`node_modules/${packageHere}`)));
    await talk(["bun", join(out, "pong.js")], ["bun", join(out, "hello.js")]);
  });

  describe.each([
    ["bundler", "preserve"],
    ["nodenext", "nodenext"],
  ])("its types, with moduleResolution %s", (moduleResolution, module) => {
    const compiler = join(root, "node_modules", "typescript", "bin", "tsc");

    async function compile(text: string): Promise<Ended> {
      const folder = copy(`types-${moduleResolution}-${Bun.hash(text)}`);
      writeFileSync(join(folder, "own.ts"), text);
      const compilerOptions = {
        module,
        moduleResolution,
        target: "esnext",
        lib: ["esnext", "dom"],
        types: [],
        strict: true,
        exactOptionalPropertyTypes: true,
        skipLibCheck: false,
        noEmit: true,
      };
      const include = [...Object.keys(programs), "own.ts"];
      writeFileSync(join(folder, "tsconfig.json"), JSON.stringify({ compilerOptions, include }));
      return await run([process.execPath, "--bun", compiler], { folder, env });
    }

    test("are those of the README's programs", async () => {
      const ended = await compile('import { Context } from "earshot";\nnew Context().close();\n');
      expect(ended).toMatchObject({ code: 0, stdout: "" });
    });

    test("refuse what is wrong", async () => {
      const ended = await compile('import { connect } from "earshot";\nawait connect(7);\n');
      expect(ended.code).not.toBe(0);
      expect(ended.stdout).toContain("own.ts(2,15)");
    });
  });

  test("a platform without a package: which, and where there are some", async () => {
    const pretend = 'Object.defineProperty(process, "arch", { value: "riscv64" })';
    const { code, message } = await probe(copy("foreign"), pretend);
    expect(code).toBe("ELIBRARY");
    expect(message).toContain(here.name.replace(here.cpu, "riscv64"));
    for (const { name } of platforms) expect(message).toContain(name);
  });

  test("a package that was left out: which, and how to install it", async () => {
    const folder = copy("incomplete");
    rmSync(join(folder, "node_modules/@earshot"), { recursive: true });
    const { code, message } = await probe(folder);
    expect(code).toBe("ELIBRARY");
    expect(message).toContain(`bun add --optional ${packageHere}@${version}`);
    // What is built without it says the same when it runs, and building it does not fail.
    await done(["bun", "build", "--target=bun", "probe.ts", "--outdir", "."], { folder });
    const bundled = await done(["bun", "probe.js"], { folder });
    expect(JSON.parse(bundled.stdout)).toEqual({ code, message });
  });

  test("a package whose library is broken: what was found, and how to replace it", async () => {
    const folder = copy("broken");
    const path = join(folder, "node_modules", packageHere, library);
    const bytes = readFileSync(path);
    rmSync(path);
    writeFileSync(path, bytes.subarray(0, 10_000));
    const { code, message } = await probe(folder);
    expect(code).toBe("ELIBRARY");
    expect(message).toContain(`${path} was cut short: it has 10000 bytes`);
    expect(message).toContain(`bun add --optional ${packageHere}@${version}`);
    copyFileSync(join(root, "README.md"), path);
    expect((await probe(folder)).message).toContain("is no whole shared library");
    rmSync(path);
    expect(await probe(folder)).toMatchObject({ code: "ELIBRARY" });
  });

  test("publint has nothing to say about the packages", async () => {
    const tarballs = scratch.entries("tarballs").filter((name) => name.startsWith("earshot-"));
    expect(tarballs).toHaveLength(2);
    for (const name of tarballs) {
      const tarball = await Bun.file(scratch.join(`tarballs/${name}`)).arrayBuffer();
      const { messages, pkg } = await publint({ pack: { tarball }, strict: true });
      expect(messages.map((message) => formatMessage(message, pkg))).toEqual([]);
    }
  });

  test("the packages have one version, and each says what it is for", () => {
    const manifest = (name: string) =>
      JSON.parse(readFileSync(installed(`node_modules/${name}/package.json`), "utf8"));
    const wanted = platforms.map(({ name }) => [packageName(name), version]);
    expect(manifest("earshot")).toMatchObject({
      version,
      optionalDependencies: Object.fromEntries(wanted),
    });
    expect(manifest("earshot")).toHaveProperty("dependencies", repository.dependencies);
    const { os, cpu, libc } = here;
    expect(manifest(packageHere)).toMatchObject({
      version,
      os: [os],
      cpu: [cpu],
      ...(libc === undefined ? {} : { libc: [libc] }),
    });
  });

  test("nothing of the machine that packed it is in them", () => {
    const files = readdirSync(installed("node_modules"), { recursive: true, encoding: "utf8" })
      .map((name) => installed(`node_modules/${name}`))
      .filter((path) => /\.(js|ts|json|md|so|dylib)$/.test(path));
    expect(files.length).toBeGreaterThan(50);
    for (const path of files) expect(readFileSync(path).includes(root)).toBe(false);
  });
});
