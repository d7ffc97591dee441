/** Modules that no zygote can be made of, and clones that cannot be had: what is said, and that all else goes on. */

import { describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { Zygote } from "../../src/zygote/index.ts";
import { Child } from "../kit/child.ts";
import { leaveNoTrace } from "../kit/no-trace.ts";
import { Scratch } from "../kit/scratch.ts";
import { ask, canFork, failure, modes, start } from "./stage.ts";

leaveNoTrace();

const serve = "export async function serve(connection) { for await (const _ of connection); }";
const library = join(import.meta.dir, "..", "..", "src", "index.ts");

/** What comes of a zygote of such a module. */
async function refusal(mode: "fork" | "pool" | undefined, source: string) {
  using scratch = new Scratch();
  const module = scratch.join("service.ts");
  writeFileSync(module, source);
  const error = await failure(Zygote.start({ module, mode, startTimeout: 20_000 }));
  return { code: error?.code, message: error?.message.replaceAll(module, "MODULE") };
}

describe.each(modes)("%s: a module", (mode) => {
  test("that is not there", async () => {
    const error = await failure(Zygote.start({ module: "/nowhere/service.ts", mode }));
    expect(error).toMatchObject({ code: "EMODULE", path: "/nowhere/service.ts" });
    expect(error!.message).toContain("could not be imported");
  });

  test("that does not compile", async () => {
    const { code, message } = await refusal(mode, "export function serve( {");
    expect(code).toBe("EMODULE");
    expect(message).toStartWith("EMODULE: MODULE could not be imported: ");
  });

  test("without serve()", async () => {
    expect(await refusal(mode, "export const warm = () => undefined;")).toEqual({
      code: "EMODULE",
      message: "EMODULE: MODULE exports no function serve(connection, { descriptors, arguments })",
    });
  });

  test("whose warm() throws: its words come through", async () => {
    const source = `export async function warm() { throw new TypeError("no dictionary"); } ${serve}`;
    expect(await refusal(mode, source)).toEqual({
      code: "EMODULE",
      message: "EMODULE: MODULE failed in warm(): TypeError: no dictionary",
    });
  });

  test("whose warm() throws what is no error, and no string", async () => {
    const source = `export function warm() { throw Object.assign(Object.create(null), { left: 3 }); } ${serve}`;
    const { code, message } = await refusal(mode, source);
    expect(code).toBe("EMODULE");
    expect(message).toContain("left: 3");
  });

  test("whose rehearse is no function", async () => {
    expect(await refusal(mode, `export const rehearse = 3; ${serve}`)).toEqual({
      code: "EMODULE",
      message:
        "EMODULE: MODULE exports a rehearse that is no function; leave it out, or make it one",
    });
  });

  test("whose rehearse() throws, or the serve() that it speaks to", async () => {
    const thrown = `throw new TypeError("no audience");`;
    const message = "EMODULE: MODULE failed in rehearse(): TypeError: no audience";
    const sources = [
      `export async function rehearse() { ${thrown} } ${serve}`,
      `export async function rehearse(connection) { await connection.request("hello"); }
       export async function serve() { ${thrown} }`,
    ];
    for (const source of sources) {
      expect(await refusal(mode, source)).toEqual({ code: "EMODULE", message });
    }
  });

  test("whose warm() ends the process", async () => {
    const { code, message } = await refusal(
      mode,
      `export function warm() { process.exit(3); } ${serve}`,
    );
    expect(code).toBe("EMODULE");
    expect(message).toContain("code 3");
  });

  test("that is not warm in time", async () => {
    using scratch = new Scratch();
    const module = scratch.join("service.ts");
    writeFileSync(
      module,
      `export async function warm() { await new Promise(() => setInterval(() => 0, 1e6)); } ${serve}`,
    );
    const error = await failure(Zygote.start({ module, mode, startTimeout: 300 }));
    expect(error).toMatchObject({ code: "ETIMEDOUT" });
    expect(error!.message).toContain("startTimeout");
    // Nor one that nothing would ever wake.
    writeFileSync(module, `export async function warm() { await new Promise(() => 0); } ${serve}`);
    expect(await failure(Zygote.start({ module, mode, startTimeout: 300 }))).toMatchObject({
      code: "ETIMEDOUT",
    });
  });

  test("and one that leaves services of earshot open", async () => {
    const source = `
      import { Context } from "${library}";
      import { serve as offer } from "${library}";
      export async function warm() { await offer("early", { message() {} }, { rundir: process.env.TMP_RUN }); }
      ${serve}`;
    using scratch = new Scratch();
    const module = scratch.join("service.ts");
    writeFileSync(module, source);
    const environment = { TMP_RUN: scratch.join("run") };
    const error = await failure(Zygote.start({ module, mode, environment }));
    expect(error).toMatchObject({ code: "EMODULE" });
    expect(error!.message).toContain("services or connections of earshot");
  });
});

describe.skipIf(!canFork)("no fork is made", () => {
  test("of a module that started Bun's worker pool: which threads, and what to use instead", async () => {
    const source = `export async function warm() { await Bun.file("/etc/hostname").text(); } ${serve}`;
    const { code, message } = await refusal("fork", source);
    expect(code).toBe("EMODULE");
    expect(message).toContain("Bun Pool");
    expect(message).toContain("readFileSync");
    // Nor in silence of something else.
    expect((await refusal(undefined, source)).code).toBe("EMODULE");
  });

  test("of a module that fetched something", async () => {
    const source = `
      export async function warm() {
        using web = Bun.serve({ port: 0, fetch: () => new Response("") });
        await (await fetch(web.url)).text();
      }
      ${serve}`;
    expect((await refusal("fork", source)).message).toContain("HTTP Client");
  });

  test("of a module that left a file open: which", async () => {
    const source = `
      import { openSync } from "node:fs";
      export function warm() { openSync("/etc/passwd"); }
      ${serve}`;
    const { code, message } = await refusal("fork", source);
    expect(code).toBe("EMODULE");
    expect(message).toContain("/etc/passwd");
  });

  test("but a module may do all of that, and put an end to it, or do it in serve()", async () => {
    const source = `
      import { closeSync, openSync, readFileSync } from "node:fs";
      import { connect, serve as offer } from "${library}";
      export async function warm() {
        closeSync(openSync("/etc/passwd"));
        readFileSync("/etc/passwd");
        const rundir = process.env.TMP_RUN;
        const service = await offer("early", { message: (c, m) => void c.send(m.bytes) }, { rundir });
        const client = await connect("early", { rundir });
        await client.request("warm");
        await client.close();
        await service.close();
        await Bun.sleep(5);
      }
      export async function serve(connection) {
        await Bun.file("/etc/passwd").text();
        for await (const message of connection) connection.send(message.bytes);
      }`;
    using scratch = new Scratch();
    const module = scratch.join("service.ts");
    writeFileSync(module, source);
    const environment = { TMP_RUN: scratch.join("run") };
    await using zygote = await Zygote.start({ module, mode: "fork", environment });
    const clone = await zygote.clone();
    expect((await clone.connection.request("hello")).text()).toBe("hello");
  });
});

describe.each(modes)("%s: a clone", (mode) => {
  test("more than there may be is refused, until one has ended", async () => {
    await using zygote = await start(mode, { clonesMax: 2 });
    const [one] = await Promise.all([zygote.clone(), zygote.clone()]);
    const error = await failure(zygote.clone());
    expect(error).toMatchObject({ code: "EBUSY" });
    expect(error!.message).toContain("clonesMax");
    await one.close();
    expect(await ask<number>(await zygote.clone(), "change")).toBe(1);
  });

  test("with arguments that nobody can clone is refused", async () => {
    await using zygote = await start(mode);
    const caught = await zygote.clone({ arguments: () => 1 }).catch((error: unknown) => error);
    expect(caught).toBeInstanceOf(Error);
    expect(await ask<number>(await zygote.clone(), "change")).toBe(1);
  });

  test("with a descriptor that is not open is refused", async () => {
    await using zygote = await start(mode);
    expect(await failure(zygote.clone({ descriptors: [100_000] }))).toMatchObject({
      code: "EBADF",
    });
    expect(await ask<number>(await zygote.clone(), "change")).toBe(1);
  });

  test("that nobody waits for any more is not made", async () => {
    await using zygote = await start(mode);
    const controller = new AbortController();
    controller.abort(new Error("never mind"));
    const caught = await zygote
      .clone({ signal: controller.signal })
      .catch((error: unknown) => error);
    expect(caught).toMatchObject({ message: "never mind" });
    expect(zygote.statistics.living).toBe(0);
  });
});

describe.skipIf(!canFork)("where the zygote has no descriptors left", () => {
  test("who asks is told, and the others go on", async () => {
    const url = new URL("programs/owner.ts", import.meta.url);
    const options = { shell: "ulimit -n 40" };
    await using owner = await Child.start(url, { mode: "fork", orphans: "end" }, options);
    const codes = await owner.ask<string[]>("exhaust", 40);
    expect(new Set(codes)).toEqual(new Set(["fine", "EMFILE"]));
    expect(await owner.ask<number>("first")).toBe(1);
    await owner.ask("close");
  });

  test("nor its owner, of whom many are asked at once: those that there are go on", async () => {
    const url = new URL("programs/owner.ts", import.meta.url);
    const options = { shell: "ulimit -n 80" };
    await using owner = await Child.start(url, { mode: "fork", orphans: "end" }, options);
    const codes = await owner.ask<string[]>("crowd", 100);
    expect(new Set(codes)).toEqual(new Set(["fine", "EMFILE"]));
    expect(await owner.ask<number>("first")).toBe(1);
    await owner.ask("close");
  });
});
