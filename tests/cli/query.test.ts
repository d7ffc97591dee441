/** `query STATEMENT`: what ipcd knows, for people and for programs, and what is said when it cannot be had. */

import { describe, expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { answerOf } from "../kit/asker.ts";
import { canCount } from "../kit/census.ts";
import { Command, earshot, leaveNoCommand, run, startService } from "../kit/command.ts";
import { leaveNoTrace } from "../kit/no-trace.ts";
import { Scratch } from "../kit/scratch.ts";
import { until } from "../kit/until.ts";

leaveNoTrace();
leaveNoCommand();

const never =
  "with recursive c(x) as (select 1 union all select x + 1 from c) select count(*) from c";
const query = (rundir: string, ...words: string[]) => run(earshot("query", ...words), { rundir });

test("prints a table", async () => {
  using scratch = new Scratch();
  const words = ["ipcd", "--deny", "out pong", "--allow", "in chat.* tcp://10.*"];
  await using _ = await startService(words, { rundir: scratch.path });
  const statement = "select place, action, service, uri, null as missing from rules";
  expect(await query(scratch.path, statement)).toMatchObject({
    code: 0,
    stdout:
      "place  action  service  uri         missing\n" +
      "0      deny    pong     *           -\n" +
      "1      allow   chat.*   tcp://10.*  -\n",
    stderr: "",
  });
  // As a shell without quotes would have it.
  expect((await query(scratch.path, "select", "count(*)", "as", "n", "from", "rules")).stdout).toBe(
    "n\n2\n",
  );
});

test("is JSON for programs", async () => {
  using scratch = new Scratch();
  await using _ = await startService(["ipcd"], { rundir: scratch.path });
  const { code, stdout } = await query(
    scratch.path,
    "--json",
    "select 1 as a, 'x' as b, null as c",
  );
  expect(code).toBe(0);
  expect(JSON.parse(stdout)).toEqual({
    schema: 1,
    columns: ["a", "b", "c"],
    rows: [{ a: 1, b: "x", c: null }],
    truncated: false,
  });
});

test("shows what a terminal would obey", async () => {
  using scratch = new Scratch();
  await using _ = await startService(["ipcd"], { rundir: scratch.path });
  const { stdout } = await query(scratch.path, `select char(27) || '[2J' as "a\nb"`);
  expect(stdout).toBe("a\\x0ab\n\\x1b[2J\n");
});

test("says when there were more rows", async () => {
  using scratch = new Scratch();
  await using _ = await startService(["ipcd"], { rundir: scratch.path });
  const many = never.replace("count(*)", "x");
  const { code, stdout, stderr } = await query(scratch.path, many);
  expect(code).toBe(0);
  expect(stdout.trimEnd().split("\n")).toHaveLength(10_001);
  expect(stderr).toBe("query: only the first 10000 rows; there are more\n");
});

describe("exits with 1 and says why", () => {
  test("if ipcd does not run", async () => {
    using scratch = new Scratch();
    const start = `query: ipcd does not run in ${scratch.path}; start it with "service ipcd" (`;
    const without = await query(scratch.path, "select 1");
    expect(without).toMatchObject({ code: 1, stdout: "" });
    expect(without.stderr).toStartWith(start);
    await using ipcd = await startService(["ipcd"], { rundir: scratch.path });
    await ipcd.end("SIGKILL");
    expect((await query(scratch.path, "select 1")).stderr).toStartWith(start);
  });

  test.each([
    ["select nosuch from rules", "no such column: nosuch"],
    ["delete from rules", "only SELECT, VALUES, WITH and EXPLAIN are answered"],
    ["select 1; select 2", "one statement at a time"],
  ])("if %j cannot be answered", async (statement, why) => {
    using scratch = new Scratch();
    await using _ = await startService(["ipcd"], { rundir: scratch.path });
    const ended = await query(scratch.path, statement);
    expect(ended).toMatchObject({ code: 1, stdout: "" });
    expect(ended.stderr).toStartWith(`query: ${why}`);
    expect(ended.stderr.trimEnd().split("\n")).toHaveLength(1);
  });

  test("if the answer takes longer than --timeout", async () => {
    using scratch = new Scratch();
    await using _ = await startService(["ipcd"], { rundir: scratch.path });
    expect(await query(scratch.path, "--timeout", "100", never)).toMatchObject({
      code: 1,
      stderr: 'query: "ipc.query" did not answer within 100 ms\n',
    });
  });
});

test("takes a statement, and --help says so", async () => {
  expect(await run(earshot("query"))).toMatchObject({
    code: 2,
    stderr: expect.stringMatching(/^query: which statement\?\nusage: query "SELECT …"/),
  });
  const help = await run(earshot("query", "--help"));
  expect(help).toMatchObject({ code: 0, stderr: "" });
  for (const table of ["connections", "lookups", "rules", "redirects", "meta"]) {
    expect(help.stdout).toMatch(new RegExp(`^  ${table} +\\w`, "m"));
  }
});

/** Processes that another has started. */
function childrenOf(pid: number): number[] {
  return readdirSync(`/proc/${pid}/task`)
    .flatMap((task) => readFileSync(`/proc/${pid}/task/${task}/children`, "utf8").split(" "))
    .filter((text) => text !== "")
    .map(Number);
}

const isThere = (pid: number) => {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return false;
  }
};

describe.if(canCount)("a statement that never ends", () => {
  test("is in no lookup's way, and ends at the limit of its time", async () => {
    using scratch = new Scratch();
    const words = ["ipcd", "--query-timeout", "700"];
    await using ipcd = await startService(words, { rundir: scratch.path });
    await using asking = new Command(earshot("query", never), { rundir: scratch.path });
    await until("it runs", () => childrenOf(ipcd.pid).length === 1);
    expect(await answerOf("ipc", "pong;", { rundir: scratch.path })).toStartWith(
      "error: IPC_NETWORK does not name",
    );
    expect(await asking.whenEnded()).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/^query: it took longer than 700 ms/),
    });
    expect(childrenOf(ipcd.pid)).toEqual([]);
  });

  test("ends with who asked", async () => {
    using scratch = new Scratch();
    await using ipcd = await startService(["ipcd", "--query-timeout", "600000"], {
      rundir: scratch.path,
    });
    await using asking = new Command(earshot("query", never), { rundir: scratch.path });
    await until("it runs", () => childrenOf(ipcd.pid).length === 1);
    await asking.end("SIGKILL");
    await until("it has ended", () => childrenOf(ipcd.pid).length === 0);
    expect((await query(scratch.path, "select 1 as a")).stdout).toBe("a\n1\n");
  });

  test("ends with ipcd, which does not wait for it", async () => {
    using scratch = new Scratch();
    await using ipcd = await startService(["ipcd", "--query-timeout", "600000"], {
      rundir: scratch.path,
    });
    await using asking = new Command(earshot("query", never), { rundir: scratch.path });
    await until("it runs", () => childrenOf(ipcd.pid).length === 1);
    const [child] = childrenOf(ipcd.pid);
    expect(await ipcd.end()).toMatchObject({ code: 0 });
    expect(isThere(child!)).toBe(false);
    expect((await asking.whenEnded()).code).toBe(1);
    expect(scratch.entries()).toEqual([]);
  });

  test("ends by itself when ipcd was killed", async () => {
    using scratch = new Scratch();
    await using ipcd = await startService(["ipcd", "--query-timeout", "600"], {
      rundir: scratch.path,
    });
    await using asking = new Command(earshot("query", never), { rundir: scratch.path });
    await until("it runs", () => childrenOf(ipcd.pid).length === 1);
    const [child] = childrenOf(ipcd.pid);
    await ipcd.end("SIGKILL");
    await until("its CPU time is used up", () => !isThere(child!));
    expect((await asking.whenEnded()).code).toBe(1);
  });
});
