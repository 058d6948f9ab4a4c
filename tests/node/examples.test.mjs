// The chat of docs/examples in each of its languages, asked by the real program for real clients, and by hand where only
// a call that comes late, again, or from somebody else can tell. The same cases for all.
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { createHmac, randomBytes } from "node:crypto";
import { cp, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, before, describe, test } from "node:test";
import { Client, within } from "../client.mjs";
import { answers, freePorts, serveBy } from "../server.mjs";

const EXAMPLES = new URL("../../docs/examples/", import.meta.url);
const [ADA, BEN] = ["session-of-ada", "session-of-ben"];
const SECRET = randomBytes(32);
const WITHIN_MS = 15_000;
const [LINES_BELOW, WIDTH_MAX] = [80, 120];

const LANGUAGES = [
  { file: "chat.py", program: "python3", keeps: "chat.db", args: () => [] },
  { file: "chat.mjs", program: "node", keeps: "chat.jsonl", args: () => [] },
  { file: "chat.php", program: "php", keeps: "chat.json", args: (port) => ["-S", `127.0.0.1:${port}`] },
];

for (const language of LANGUAGES) {
  const { file, program } = language;
  test(`${file} has under ${LINES_BELOW} lines, none too wide`, async () => {
    const lines = (await readFile(new URL(file, EXAMPLES), "utf8")).trimEnd().split("\n");
    assert.ok(lines.length < LINES_BELOW, `${lines.length} lines`);
    assert.deepEqual(lines.filter((line) => line.length > WIDTH_MAX), []);
  });

  // A suite that is skipped is not counted, and a test is.
  if (spawnSync(program, ["--version"]).error) test(`${file} is a chat`, { skip: `needs ${program}` });
  else describe(file, () => cases(language));
}

function cases(language) {
  let application;
  let server;
  let clients = [];

  before(async () => {
    application = await Application.begin(language);
    const text = await readFile(new URL("vestibule.toml", EXAMPLES), "utf8");
    server = await serveBy((port) => text.replace("127.0.0.1:8080", `127.0.0.1:${port}`), application.settings);
  });

  afterEach(async () => {
    for (const client of clients) client.socket.terminate();
    clients = [];
    await eventually(async () => (await application.who("chat:lobby")).length === 0, "the end of all");
  });

  after(async () => {
    await application?.end();
    if (server) assert.deepEqual(await server.stop(), { code: 0, signal: null }, server.output);
  });

  /** Somebody who has come in. */
  async function enter(session) {
    const client = await Client.enter(server, session);
    clients.push(client);
    return client;
  }

  /** Somebody in a room, who was told of nobody yet. */
  async function member(session, room = "chat:lobby") {
    const client = await enter(session);
    assert.deepEqual(await client.request({ type: "join", room, id: 0 }), { type: "ack", id: 0 });
    return client;
  }

  const here = (...users) => ({ type: "message", room: "chat:lobby", event: "here", payload: users });

  for (const token of ["nobody", ""]) {
    test(`a session that is not known is refused: ${JSON.stringify(token)}`, async () => {
      const client = await Client.open(`ws://${server.host}/ws${token && `?token=${token}`}`);
      clients.push(client);
      assert.deepEqual(await client.nextClose(), { code: 4001, reason: "no such session" });
    });
  }

  test("who shows a session is known by its user's name", async () => {
    assert.equal((await enter(BEN)).welcome.userId, "ben");
  });

  test("a room lets in whom it invites, and neither hears nor tells anybody else", async () => {
    const [ada, ben] = [await member(ADA, "chat:staff"), await enter(BEN)];
    const refused = { type: "error", id: 1, code: "hook_refused", message: "you are not invited" };
    assert.deepEqual(await ben.request({ type: "join", room: "chat:staff", id: 1 }), refused);
    for (const event of ["say", "who"]) {
      const payload = { room: "chat:staff", text: "hello" };
      assert.deepEqual(await ben.request({ type: "event", event, payload, id: 1 }), refused);
    }
    assert.deepEqual(await ada.request({ type: "ping" }), { type: "pong" }, "nothing was said there");
  });

  test("what is said is kept and told to the others, and its sender has its number, over a restart too", async () => {
    const ada = await member(ADA);
    const ben = await member(BEN);
    assert.deepEqual(await ada.nextJson(), here("ada", "ben"));
    const ids = [];
    for (const [restart, said] of [[false, "one é \u{1f600}"], [false, "two"], [true, "three"]]) {
      if (restart) await application.restart();
      const text = `${said} ${randomBytes(8).toString("hex")}`;
      const { id, reply, ...ack } = await ada.request({ type: "event", event: "say", payload: { room: "chat:lobby", text }, id: 7 });
      assert.deepEqual([id, ack], [7, { type: "ack" }]);
      ids.push(reply.id);
      assert.deepEqual(await ben.nextJson(), {
        type: "message", room: "chat:lobby", event: "said", payload: { id: reply.id, user: "ada", text },
      });
      assert.ok((await application.kept()).includes(text.slice(-16)), "it is kept");
    }
    assert.deepEqual(ids, [ids[0], ids[0] + 1, ids[0] + 2]);
    assert.deepEqual(await ada.request({ type: "ping" }), { type: "pong" }, "the sender is told nothing");
  });

  test("a call that comes twice saves once", async () => {
    const say = (number, text) => application.call(`message_twice-0-1_${number}`, "message", {
      request: "twice-0-1", connection: "00000000000100000001", user: "ada", event: "say", payload: { room: "chat:lobby", text },
    });
    const [first, again, next] = [await say(2, "a"), await say(2, "a"), await say(3, "b")];
    assert.deepEqual(again.verdict.reply, first.verdict.reply);
    assert.deepEqual(next.verdict.reply, { id: first.verdict.reply.id + 1 });
  });

  test("who is here is counted up and down, as they join, leave, and are cut off", async () => {
    const ada = await member(ADA);
    const who = async () => (await ada.request({ type: "event", event: "who", payload: { room: "chat:lobby" }, id: 9 })).reply;
    assert.deepEqual(await who(), ["ada"]);
    const ben = await member(BEN);
    assert.deepEqual(await ada.nextJson(), here("ada", "ben"));
    assert.deepEqual(await ben.request({ type: "leave", room: "chat:lobby", id: 1 }), { type: "ack", id: 1 });
    assert.deepEqual(await ada.nextJson(), here("ada"));
    assert.deepEqual(await ben.request({ type: "join", room: "chat:lobby", id: 2 }), { type: "ack", id: 2 });
    assert.deepEqual(await ada.nextJson(), here("ada", "ben"));
    assert.deepEqual(await who(), ["ada", "ben"]);
    ben.socket.terminate();
    assert.deepEqual(await ada.nextJson(), here("ada"));
    assert.deepEqual(await who(), ["ada"]);
  });

  test("a user is here until the last connection is gone", async () => {
    const ada = await member(ADA);
    const [first, second] = [await member(BEN), await member(BEN)];
    assert.deepEqual(await ada.nextJson(), here("ada", "ben"));
    assert.deepEqual(await first.nextJson(), here("ada", "ben"));
    assert.deepEqual(await ada.nextJson(), here("ada", "ben"));
    first.socket.terminate();
    assert.deepEqual(await ada.nextJson(), here("ada", "ben"));
    second.socket.terminate();
    assert.deepEqual(await ada.nextJson(), here("ada"));
  });

  test("what comes late or again undoes nothing newer, and nobody joins behind the end", async () => {
    const request = `late-0-${randomBytes(4).toString("hex")}`;
    const tell = async (type, number, data) => {
      const id = number ? `${type}_${request}_${number}` : `${type}_${request}`;
      const { status, verdict } = await application.call(id, type, { request, user: "ben", ...data });
      assert.equal(status, 200);
      return verdict.publish;
    };
    const room = "chat:lobby";
    const says = (...users) => [{ room, event: "here", payload: users }];
    assert.deepEqual(await tell("join", 2, { room }), says("ben"));
    assert.deepEqual(await tell("leave", 3, { room }), says());
    assert.deepEqual(await tell("join", 4, { room }), says("ben"));
    assert.deepEqual(await tell("leave", 3, { room }), says("ben"));
    assert.deepEqual(await tell("leave", 5, { room }), says());
    assert.deepEqual(await tell("join", 6, { room }), says("ben"));
    assert.deepEqual(await tell("disconnect", 0, { rooms: [room] }), says());
    assert.deepEqual(await tell("disconnect", 0, { rooms: [room] }), says());
    assert.deepEqual(await tell("join", 7, { room }), says());
  });

  test("a call that nobody has signed, or somebody else, or long ago, is refused", async () => {
    const data = { request: "forged-0-1", user: "ada", room: "chat:lobby" };
    const call = (how) => application.call("join_forged-0-1_2", "join", data, how);
    const now = Math.floor(Date.now() / 1000);
    for (const how of [
      { secret: randomBytes(32) },
      { signature: "" },
      { signature: "v1," },
      { signature: `v1,${"é".repeat(44)}` },
      { at: now - 310 },
      { at: now + 310 },
      { meddle: (body) => body.replace("ada", "ben") },
      { meddle: (body) => `${body} ` },
    ]) {
      assert.equal((await call(how)).status, 400, JSON.stringify(how));
    }
    assert.deepEqual(await application.who("chat:lobby"), [], "and changes nothing");
    assert.equal((await call({ at: now - 280 })).status, 200);
    await application.call("disconnect_forged-0-1", "disconnect", { request: "forged-0-1", user: "ada", rooms: [] });
  });

  test("whatever a client sends, the application has an answer", async () => {
    const ada = await enter(ADA);
    const long = "x".repeat(10_000);
    for (const payload of [
      "null", "1", '"text"', "[]", "[[]]", "{}", '{"room":["chat:lobby"]}', '{"room":{"toString":1}}', '{"room":"__proto__","text":"a"}',
      '{"room":"chat:lobby"}', '{"room":"chat:lobby","text":null}', '{"room":"chat:lobby","text":""}',
      '{"room":"chat:lobby","text":{"toString":1}}', `{"room":"chat:lobby","text":"${long}"}`, '{"room":"\\ud800","text":"a"}',
    ]) {
      const { id, code } = await ada.request(`{"type":"event","event":"say","payload":${payload},"id":3}`);
      assert.deepEqual([id, code], [3, "hook_refused"], payload.slice(0, 80));
    }
    const half = await ada.request('{"type":"event","event":"say","payload":{"room":"chat:lobby","text":"\\ud800"},"id":4}');
    assert.ok(half.type === "ack" || half.code === "hook_refused", JSON.stringify(half));
    const other = await ada.request({ type: "event", event: "constructor", payload: { room: "chat:lobby", text: "a" }, id: 5 });
    assert.equal(other.code, "hook_refused");
  });
}

/** An example that runs, in a folder of its own. */
class Application {
  #printed = [];

  static async begin(language) {
    const application = new Application();
    application.language = language;
    application.folder = await mkdtemp(join(tmpdir(), "vestibule-example-"));
    application.key = join(application.folder, "hooks.key");
    await writeFile(application.key, `whsec_${SECRET.toString("base64")}\n`);
    await cp(new URL(language.file, EXAMPLES), join(application.folder, language.file));
    [application.port] = await freePorts(1);
    await application.#start();
    return application;
  }

  /** How the program is told of it, in the place of what the configuration says. */
  get settings() {
    return {
      VESTIBULE_HOOKS__URL: `http://127.0.0.1:${this.port}/`,
      VESTIBULE_HOOKS__SECRET_FILE: this.key,
      VESTIBULE_HOOKS__TIMEOUT: "3s",
      VESTIBULE_ADMIN__ADDRESS: "127.0.0.1:0",
      VESTIBULE_SERVER__WORKERS: "2",
      VESTIBULE_SERVER__DRAIN: "1s",
    };
  }

  async #start() {
    const { program, file, args } = this.language;
    const env = { ...process.env, PORT: String(this.port) };
    this.child = spawn(program, [...args(this.port), file], { cwd: this.folder, env, stdio: ["ignore", "pipe", "pipe"] });
    for (const stream of [this.child.stdout, this.child.stderr]) stream.on("data", (bytes) => this.#printed.push(bytes));
    this.exit = new Promise((resolve) => {
      this.child.once("error", resolve);
      this.child.once("exit", resolve);
    });
    await eventually(() => answers(this.port), `${file} on its port`, () => Buffer.concat(this.#printed).toString());
  }

  async #stop() {
    this.child.kill("SIGKILL");
    await within(this.exit, "the end of the example");
  }

  async restart() {
    await this.#stop();
    await this.#start();
  }

  async end() {
    await this.#stop();
    await rm(this.folder, { recursive: true });
  }

  /** All that it keeps. */
  kept() {
    return readFile(join(this.folder, this.language.keeps), "utf8");
  }

  /** Calls it as Vestibule does; or as somebody else would. */
  async call(id, type, data, { secret = SECRET, at = Math.floor(Date.now() / 1000), signature, meddle = (body) => body } = {}) {
    const body = JSON.stringify({ type, timestamp: new Date().toISOString(), data });
    const signed = createHmac("sha256", secret).update(`${id}.${at}.${body}`).digest("base64");
    const response = await fetch(`http://127.0.0.1:${this.port}/`, {
      method: "POST",
      headers: { "webhook-id": id, "webhook-timestamp": String(at), "webhook-signature": signature ?? `v1,${signed}` },
      body: meddle(body),
    });
    const text = await response.text();
    return { status: response.status, verdict: response.ok ? JSON.parse(text) : undefined };
  }

  /** Who is in a room, as it sees it. */
  async who(room) {
    const data = { request: "test-0-1", connection: "00000000000100000001", user: "ada", event: "who", payload: { room } };
    return (await this.call("message_test-0-1_2", "message", data)).verdict.reply;
  }
}

/** Asks until it is so, or for too long. */
async function eventually(isSo, what, tell = () => "") {
  const deadline = Date.now() + WITHIN_MS;
  while (!(await isSo())) {
    if (Date.now() > deadline) throw new Error(`${what} did not come within ${WITHIN_MS} ms ${tell()}`);
    await new Promise((resolve) => { setTimeout(resolve, 20); });
  }
}
