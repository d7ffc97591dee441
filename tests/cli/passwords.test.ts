/** `client passwords` as a person or a script has it: commands, answers, vaults, and a terminal that shows no secret. */

import { expect, test } from "bun:test";
import { chmodSync, mkdirSync, readFileSync, renameSync, statSync, writeFileSync } from "node:fs";
import { canCount } from "../kit/census.ts";
import { Command, earshot, leaveNoCommand, type RunOptions, run } from "../kit/command.ts";
import { leaveNoTrace } from "../kit/no-trace.ts";
import { hasTerminals, Terminal } from "../kit/terminal.ts";
import { until } from "../kit/until.ts";
import { type PasswordsStage, started } from "../services/passwords/stage.ts";

leaveNoTrace();
leaveNoCommand();

const isShown = test.if(hasTerminals);
const pasteOff = "\x1b[?2004l";
const [controlC, controlD, controlU, del, escapeByte] = ["\x03", "\x04", "\x15", "\x7f", "\x1b"];

function client(stage: PasswordsStage, words: readonly string[], options: RunOptions = {}) {
  const rundir = stage.scratch.path;
  return run(earshot("client", "passwords", ...words), { rundir, ...options });
}

function at(stage: PasswordsStage, ...words: string[]): Terminal {
  const env = { EARSHOT_RUNDIR: stage.scratch.path };
  return new Terminal(earshot("client", "passwords", ...words), env);
}

test("each line is a command, and each command has a line for an answer", async () => {
  await using stage = await started();
  const input = [
    "set mail 'a secret'",
    "",
    "# a comment that isn't understood as words",
    '\t # nor "this',
    "set \"a key\" $'\\x00\\xff'",
    "get mail",
    "has mail",
    "has nail",
    "keyset",
    "delete mail",
    "get mail",
    "disconnect",
    "get nothing",
  ].join("\n");
  const { code, stdout, stderr } = await client(stage, [], { input });
  expect(stdout.split("\n")).toEqual([
    "ok",
    "ok",
    "a secret",
    "yes",
    "no",
    "mail 'a key'",
    "ok",
    "error: there is no such key",
    "ok",
    "",
  ]);
  expect({ code, stderr }).toEqual({ code: 1, stderr: "" });
});

test("what is no command is told in its place, without what was typed, and the rest goes on", async () => {
  await using stage = await started();
  const secret = "hunter2";
  const input = [
    `sat a ${secret}`,
    `set a ${secret} more`,
    "set a",
    "get",
    "keyset all",
    `set a "${secret}`,
    `set a $'${secret}\\q'`,
    "has a",
  ].join("\n");
  const { code, stdout, stderr } = await client(stage, [], { input });
  expect(stdout.split("\n")).toEqual([
    "error: there is no such command; there are set, get, keyset, delete, has, disconnect, help",
    "error: set takes KEY and VALUE, and 3 words were given; put blanks in quotes",
    "error: set takes KEY and VALUE, and one word was given",
    "error: get takes KEY, and nothing was given",
    "error: keyset takes nothing, and one word was given",
    'error: a quote (") is not closed',
    "error: \\q means nothing between $' and '; a backslash itself is \\\\",
    "no",
    "",
  ]);
  expect({ code, stderr }).toEqual({ code: 1, stderr: "" });
});

test("a script is a file of commands, with answers in words or in JSON", async () => {
  await using stage = await started();
  const script = stage.scratch.join("script");
  writeFileSync(script, "set a 'x\r\ny'\r\nset b $'\\xff'\nget a\nget b\nkeyset\nhas a\nget c\n");
  expect((await client(stage, ["--script", script])).code).toBe(1);
  const { code, stdout } = await client(stage, ["--script", script, "--json"]);
  expect(
    stdout
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line)),
  ).toEqual([
    { schema: 1, ok: false, error: "usage", text: "a quote (') is not closed" },
    { schema: 1, ok: false, error: "usage", text: "a quote (') is not closed" },
    { schema: 1, ok: true },
    { schema: 1, ok: false, error: "missing", text: "there is no such key" },
    { schema: 1, ok: true, value: { base64: "/w==" } },
    { schema: 1, ok: true, keys: ["b"] },
    { schema: 1, ok: true, has: false },
    { schema: 1, ok: false, error: "missing", text: "there is no such key" },
  ]);
  expect(code).toBe(1);
  const missing = await client(stage, ["--script", stage.scratch.join("none")]);
  expect(missing.code).toBe(1);
  expect(missing.stderr).toContain("the script cannot be read: ENOENT");
  writeFileSync(script, "keyset\n");
  expect(await client(stage, ["--script", script])).toMatchObject({ code: 0, stdout: "\n" });
  expect(await client(stage, ["--script", "-"], { input: "has a\n" })).toMatchObject({
    code: 0,
    stdout: "no\n",
  });
});

test("one command: a value comes from standard input, and goes as it is", async () => {
  await using stage = await started();
  const [vault, passphrase] = [stage.scratch.join("vault"), stage.scratch.join("passphrase")];
  writeFileSync(passphrase, "correct horse\nnot this\n", { mode: 0o600 });
  const kept = ["--vault", vault, "--passphrase-file", passphrase];
  const input = Uint8Array.of(0, 255, 10, 13, 10);
  expect(await client(stage, ["set", "a key", ...kept], { input })).toMatchObject({
    code: 0,
    stdout: "ok\n",
    stderr: "",
  });
  const { bytes, code } = await client(stage, ["get", "a key", ...kept]);
  expect([...bytes]).toEqual([...input]);
  expect(code).toBe(0);
  expect((await client(stage, ["has", "a key", ...kept])).code).toBe(0);
  expect(await client(stage, ["has", "b", ...kept])).toMatchObject({ code: 1, stdout: "no\n" });
  expect(await client(stage, ["get", "b", ...kept])).toMatchObject({
    code: 1,
    stdout: "",
    stderr: "client: there is no such key\n",
  });
  const typed = await client(stage, ["set", "a", "hunter2", ...kept]);
  expect(typed.code).toBe(2);
  expect(typed.stderr).toContain("a value does not go on the command line");
  expect(typed.stderr).not.toContain("hunter2");
});

test("a vault has what there was the last time, and nothing else", async () => {
  await using stage = await started();
  const [vault, passphrase] = [stage.scratch.join("vault"), stage.scratch.join("passphrase")];
  writeFileSync(passphrase, "correct horse", { mode: 0o600 });
  const kept = ["--vault", vault, "--passphrase-file", passphrase];
  await client(stage, kept, { input: "set a 1\nset b 2\nset c 3\ndelete a\n" });
  expect(statSync(vault).mode & 0o777).toBe(0o600);
  const state = stage.scratch.join("state.json");
  writeFileSync(state, '{ "initial": "x", "b": "y" }');
  await using other = await started("--state", state);
  const rundir = other.scratch.path;
  expect(await client(stage, kept, { rundir, input: "keyset\nget b\nget c\n" })).toMatchObject({
    code: 0,
    stdout: "b c\n2\n3\n",
  });
  // Who has no vault yet begins with what there is, and keeps that.
  const fresh = ["--vault", other.scratch.join("vault"), "--passphrase-file", passphrase];
  await client(other, fresh, { input: "delete b\n" });
  expect((await client(stage, fresh, { input: "keyset\n" })).stdout).toBe("initial\n");
});

test("two sessions with one vault: what each has changed is in it, or beside it, and both are told", async () => {
  await using stage = await started();
  const [vault, passphrase] = [stage.scratch.join("vault"), stage.scratch.join("passphrase")];
  writeFileSync(passphrase, "correct horse", { mode: 0o600 });
  const kept = ["--vault", vault, "--passphrase-file", passphrase];
  const keyset = async (path = vault) => {
    const words = ["--vault", path, "--passphrase-file", passphrase];
    return (await client(stage, words, { input: "keyset\nget mail\n" })).stdout;
  };
  await client(stage, kept, { input: "set mail first\n" });
  const open = async () => {
    const session = new Command(earshot("client", "passwords", ...kept), {
      rundir: stage.scratch.path,
      keyboard: true,
    });
    session.type("has mail\n");
    await session.says("yes\n");
    return session;
  };
  const ended = async (session: Command) => {
    session.hangUp();
    return await session.whenEnded();
  };
  {
    await using one = await open();
    await using other = await open();
    one.type("set one 1\n");
    other.type("set other 2\nset mail second\n");
    expect(await ended(one)).toMatchObject({ code: 0, stdout: "yes\nok\n", stderr: "" });
    expect(await ended(other)).toMatchObject({ code: 0, stdout: "yes\nok\nok\n", stderr: "" });
    expect(await keyset()).toBe("mail one other\nsecond\n");
  }
  await using one = await open();
  await using other = await open();
  one.type("set mail third\n");
  other.type("set mail fourth\nset more 3\n");
  expect(await ended(one)).toMatchObject({ code: 0, stderr: "" });
  expect(await ended(other)).toMatchObject({
    code: 1,
    stderr:
      `client: ${vault} was left as it is: "mail" has been changed by somebody else as well; ` +
      `all that this session keeps is in ${vault}.1, under the same passphrase\n`,
  });
  expect(await keyset()).toBe("mail one other\nthird\n");
  expect(await keyset(`${vault}.1`)).toBe("mail one other more\nfourth\n");
  // Several commands at once, each a session of its own.
  const names = ["a", "b", "c"];
  const all = names.map((name) => client(stage, ["set", name, ...kept], { input: name }));
  for (const { code, stderr } of await Promise.all(all)) expect([code, stderr]).toEqual([0, ""]);
  const [keys] = (await keyset()).split("\n");
  expect(keys!.split(" ").sort()).toEqual(["a", "b", "c", "mail", "one", "other"]);
  expect(stage.scratch.entries().filter((name) => name.includes("vault"))).toEqual([
    "vault",
    "vault.1",
  ]);
});

isShown(
  "a prompt whose vault somebody else changes goes on beside it, and says so once",
  async () => {
    await using stage = await started();
    const [vault, passphrase] = [stage.scratch.join("vault"), stage.scratch.join("passphrase")];
    writeFileSync(passphrase, "correct horse", { mode: 0o600 });
    const kept = ["--vault", vault, "--passphrase-file", passphrase];
    await client(stage, kept, { input: "set mail first\n" });
    await using terminal = at(stage, ...kept);
    await terminal.shows("passwords> ");
    await client(stage, ["set", "mail", ...kept], { input: "theirs" });
    terminal.type("set mail ours\r");
    await terminal.shows(`this session keeps is in ${vault}.1`);
    terminal.type("set more 1\r");
    await terminal.shows("ok\n");
    expect(terminal.shown.split("error: ").length).toBe(2);
    terminal.type(controlD);
    expect(await terminal.whenEnded()).toEqual({ code: 0, signal: null });
    expect((await client(stage, ["get", "mail", ...kept])).stdout).toBe("theirs");
    const aside = ["--vault", `${vault}.1`, "--passphrase-file", passphrase];
    expect((await client(stage, aside, { input: "get mail\nget more\n" })).stdout).toBe(
      "ours\n1\n",
    );
  },
);

test("a vault that does not open is told, and stays as it is", async () => {
  await using stage = await started();
  const [vault, passphrase] = [stage.scratch.join("vault"), stage.scratch.join("passphrase")];
  const kept = ["--vault", vault, "--passphrase-file", passphrase];
  writeFileSync(passphrase, "correct horse", { mode: 0o600 });
  await client(stage, kept, { input: "set a secret\n" });
  const whole = readFileSync(vault);
  writeFileSync(passphrase, "wrong horse");
  const wrong = await client(stage, kept, { input: "set a other\n" });
  expect(wrong).toMatchObject({ code: 1, stdout: "" });
  expect(wrong.stderr).toBe(
    `client: ${vault} does not open with this passphrase; it was left as it is\n`,
  );
  expect(readFileSync(vault).equals(whole)).toBe(true);
  const damaged = Buffer.from(whole);
  damaged[damaged.length >> 1]! ^= 1;
  writeFileSync(vault, damaged);
  const broken = await client(stage, kept, { input: "set a other\n" });
  expect(broken.code).toBe(1);
  expect(broken.stderr).toContain("is damaged: it is not as it was written. It was left as it is");
  expect(readFileSync(vault).equals(damaged)).toBe(true);
  chmodSync(passphrase, 0o644);
  const open = await client(stage, kept);
  expect(open.stderr).toContain("can be read or written by others (mode 0644)");
  chmodSync(passphrase, 0o600);
  writeFileSync(passphrase, "\n");
  expect((await client(stage, kept)).stderr).toContain("the passphrase is empty");
  const unasked = await client(stage, ["--vault", vault]);
  expect(unasked.code).toBe(2);
  expect(unasked.stderr).toContain("give it by --passphrase-file FILE");
});

test("without the service, or with as many clients as may be, it says so", async () => {
  await using stage = await started("--clients-max", "1");
  using _ = await stage.open();
  expect(await client(stage, ["keyset"])).toMatchObject({
    code: 1,
    stderr: "client: there are 1 clients already, and no more may be; try again later\n",
  });
  const none = await client(stage, ["keyset", "--name", "elsewhere"]);
  expect(none.code).toBe(1);
  expect(none.stderr).toContain('nobody serves "elsewhere"');
  const help = await client(stage, ["--help"]);
  expect(help.code).toBe(0);
  for (const word of ["keyset", "--vault FILE", "--script FILE", "disconnect"]) {
    expect(help.stdout).toContain(word);
  }
});

isShown(
  "a value is typed unseen, on its own or behind its key, and taken back if it was wrong",
  async () => {
    await using stage = await started();
    await using terminal = at(stage);
    await terminal.shows("passwords> ");
    terminal.type("set mail\r");
    await terminal.shows("value: ");
    terminal.type(`wrong${controlU}hunter3${del}2\r`);
    await terminal.shows("ok\n");
    terminal.type("set 'other key' hunter4\r");
    await terminal.shows(`set 'other key' ${pasteOff}\nok\n`);
    terminal.type("keyset\r");
    await terminal.shows("mail 'other key'\n");
    expect(terminal.shown).not.toMatch(/hunter|wrong/);
    terminal.type("get 'other key'\r");
    await terminal.shows("hunter4\n");
    terminal.type("get mäil");
    await terminal.shows("get mäil");
    terminal.type(`${del}${del}${del}ail\r`);
    await terminal.shows("hunter2\n");
    terminal.type(controlD);
    expect(await terminal.whenEnded()).toEqual({ code: 0, signal: null });
  },
);

isShown(
  "what is pasted is typed, newlines in a value included, and arrows do nothing",
  async () => {
    await using stage = await started();
    await using terminal = at(stage);
    await terminal.shows("passwords> ");
    const paste = (text: string) => `${escapeByte}[200~${text}${escapeByte}[201~`;
    terminal.type("set key\r");
    await terminal.shows("value: ");
    terminal.type(`${paste("hunter5\rhunter6")}\r`);
    await terminal.shows("ok\n");
    // Several lines at once, as a terminal without brackets gives them.
    terminal.type(`has key\r${escapeByte}[A${escapeByte}OB${escapeByte}[1;5Chas nokey\r`);
    await terminal.shows("yes\n");
    await terminal.shows("no\n");
    expect(terminal.shown).not.toMatch(/hunter/);
    terminal.type("get key\r");
    await terminal.shows("hunter5\nhunter6\n");
    terminal.type("disconnect\r");
    expect(await terminal.whenEnded()).toEqual({ code: 0, signal: null });
  },
);

isShown("what is typed before it is asked for is not shown either", async () => {
  await using stage = await started();
  await using terminal = at(stage);
  await terminal.shows("passwords> ");
  for (let round = 0; round < 20; round++) {
    terminal.type("set mail\r");
    await Bun.sleep(round % 4);
    terminal.type(`hunter${round}`);
    await Bun.sleep(round % 3);
    terminal.type("\r");
  }
  await until("all is done", () => terminal.shown.split("ok\n").length === 21);
  expect(terminal.shown).not.toMatch(/hunter/);
  terminal.type(controlD);
  expect(await terminal.whenEnded()).toEqual({ code: 0, signal: null });
});

isShown("^C throws a value away and sets nothing, and at the prompt ends it", async () => {
  await using stage = await started();
  await using terminal = at(stage);
  await terminal.shows("passwords> ");
  terminal.type("set mail\r");
  await terminal.shows("value: ");
  terminal.type(`hunter7${controlC}`);
  await terminal.shows("error: nothing was set\n");
  terminal.type("has mail\r");
  await terminal.shows("no\n");
  terminal.type("set mail\r");
  await until("it asks again", () => terminal.shown.split("value: ").length === 3);
  terminal.type(controlD);
  await until("it is told again", () => terminal.shown.split("nothing was set").length === 3);
  expect(terminal.shown).not.toMatch(/hunter/);
  terminal.type(controlC);
  expect(await terminal.whenEnded()).toEqual({ code: 130, signal: null });
});

isShown("a passphrase is typed unseen, and twice for a new vault", async () => {
  await using stage = await started();
  const vault = stage.scratch.join("vault");
  await using first = at(stage, "--vault", vault);
  await first.shows("passphrase: ");
  first.type("correct horse\r");
  await first.shows("the same again, for a new vault: ");
  first.type("correct horse\r");
  await first.shows("passwords> ");
  first.type("set mail\rhunter8\r");
  await first.shows("ok\n");
  // It is in the vault already.
  expect(statSync(vault).mode & 0o777).toBe(0o600);
  first.signal("SIGKILL");
  await first.whenEnded();
  await using again = at(stage, "--vault", vault);
  await again.shows("passphrase: ");
  again.type("correct horse\r");
  await again.shows("passwords> ");
  again.type("get mail\r");
  await again.shows("hunter8\n");
  again.type(controlD);
  expect(await again.whenEnded()).toEqual({ code: 0, signal: null });
  expect(first.shown + again.shown).not.toContain("horse");
  await using differing = at(stage, "--vault", stage.scratch.join("another"));
  await differing.shows("passphrase: ");
  differing.type("one\r");
  await differing.shows("the same again");
  differing.type("two\r");
  await differing.shows("the two differ; nothing was made");
  expect(await differing.whenEnded()).toEqual({ code: 1, signal: null });
});

isShown("a vault that cannot be written is told, and written when it can be", async () => {
  await using stage = await started();
  const [folder, moved] = [stage.scratch.join("folder"), stage.scratch.join("moved")];
  mkdirSync(folder);
  const passphrase = stage.scratch.join("passphrase");
  writeFileSync(passphrase, "correct horse", { mode: 0o600 });
  const kept = ["--vault", `${folder}/vault`, "--passphrase-file", passphrase];
  await using terminal = at(stage, ...kept);
  await terminal.shows("passwords> ");
  renameSync(folder, moved);
  terminal.type("set a 1\r");
  await terminal.shows(`error: ${folder}/vault could not be written, and is as it was: ENOENT`);
  renameSync(moved, folder);
  terminal.type(controlD);
  expect(await terminal.whenEnded()).toEqual({ code: 0, signal: null });
  expect(await client(stage, ["get", "a", ...kept])).toMatchObject({ code: 0, stdout: "1" });
  await using again = at(stage, ...kept);
  await again.shows("passwords> ");
  renameSync(folder, moved);
  again.type("set a 2\r");
  await again.shows("could not be written");
  again.type(controlD);
  await again.shows("what this session has changed is not in the vault");
  expect(await again.whenEnded()).toEqual({ code: 1, signal: null });
  renameSync(moved, folder);
});

isShown("a terminal is as it was, though the client is ended by a signal", async () => {
  await using stage = await started();
  const client = `sh -c 'echo client $$; exec ${earshot("client", "passwords").join(" ")}'`;
  for (const signal of ["SIGTERM", "SIGHUP"] as const) {
    await using shell = new Terminal(["sh", "-c", `${client}; echo over; stty -a; read line`], {
      EARSHOT_RUNDIR: stage.scratch.path,
    });
    await shell.shows("passwords> ");
    process.kill(Number(/client (\d+)/.exec(shell.shown)![1]), signal);
    await shell.shows("over\n");
    await shell.shows("echoe");
    expect(shell.shown).toMatch(/[ ;]icanon/);
    expect(shell.shown).toMatch(/[ ;]echo /);
    shell.type("\r");
    await shell.whenEnded();
  }
});

test.if(canCount)("a service that goes away is told to who still asks", async () => {
  await using stage = await started();
  const rundir = stage.scratch.path;
  await using terminal = new Terminal(earshot("client", "passwords"), { EARSHOT_RUNDIR: rundir });
  await terminal.shows("passwords> ");
  await stage.daemon.end();
  terminal.type("keyset\r");
  await terminal.shows("client: the service has ended, and its copies with it\n");
  expect(await terminal.whenEnded()).toEqual({ code: 1, signal: null });
});
