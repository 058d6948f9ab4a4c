// The chat of docs/examples in each of its languages: the same story with real clients, against the real binary by the
// configuration that stands beside it. A language that is not there is skipped.
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { Webhook } from "standardwebhooks";
import { Client, within } from "../client.mjs";
import { answers, freePorts, serveBy } from "../server.mjs";

const FOLDER = new URL("../../docs/examples/chat/", import.meta.url).pathname;
const LANGUAGES = {
  python: { file: "chat.py", program: "python3", asks: "import sys; sys.exit(sys.version_info < (3, 10))", by: "-c" },
  node: { file: "chat.mjs", program: process.execPath, asks: "0", by: "-e" },
  php: { file: "chat.php", program: "php", asks: "exit(PHP_VERSION_ID < 80000 ? 1 : 0);", by: "-r" },
};
const FILE_LINES_MAX = 80;

/** How an example is started on a port. */
function command({ file, program }, port) {
  const path = join(FOLDER, file);
  return program === "php" ? [program, ["-S", `127.0.0.1:${port}`, path]] : [program, [path, String(port)]];
}

async function listening(port) {
  while (!(await answers(port))) await new Promise((resolve) => { setTimeout(resolve, 20); });
}

for (const [language, example] of Object.entries(LANGUAGES)) {
  const found = spawnSync(example.program, [example.by, example.asks], { stdio: "ignore" });
  if (found.status !== 0) {
    // As a test, for suites that are skipped are not counted.
    test(`the chat in ${language}`, { skip: `there is no ${example.program}, or an old one` });
    continue;
  }

  describe(`the chat in ${language}`, () => {
    let folder, application, port, server, toml, printed = "";

    before(async () => {
      folder = await mkdtemp(join(tmpdir(), "vestibule-chat-"));
      toml = await readFile(join(FOLDER, "vestibule.toml"), "utf8");
      [port] = await freePorts(1);
      const [program, args] = command(example, port);
      const env = { ...process.env, CHAT_FILE: join(folder, "messages.jsonl") };
      application = spawn(program, args, { env, stdio: ["ignore", "pipe", "pipe"] });
      for (const stream of [application.stdout, application.stderr]) stream.on("data", (bytes) => { printed += bytes; });
      await within(listening(port), `${example.file} on port ${port}: ${printed}`);
      const write = (clients, operators) => {
        const placed = toml.replaceAll("127.0.0.1:8080", `127.0.0.1:${clients}`).replaceAll("127.0.0.1:3000", `127.0.0.1:${port}`);
        return `${placed}\n[admin]\naddress = "127.0.0.1:${operators}"\n[server]\nworkers = 2\ndrain = "1s"\n`;
      };
      server = await serveBy(write);
    });

    after(async () => {
      const ended = server && await server.stop();
      application?.kill();
      await rm(folder, { recursive: true, force: true });
      if (server) assert.deepEqual(ended, { code: 0, signal: null }, server.output);
    });

    const enter = (user) => Client.enter(server, `token-of-${user}`);
    /** What comes next that does not tell how many are there: those of the test before may still be leaving. */
    const next = async (client) => {
      for (;;) {
        const message = await client.nextJson();
        if (message.event !== "online") return message;
      }
    };
    const answerTo = (client, request) => {
      client.send(request);
      return next(client);
    };
    const online = (payload) => ({ type: "message", room: "chat:lobby", event: "online", payload });

    test(`stands in one file of less than ${FILE_LINES_MAX} lines`, async () => {
      const lines = (await readFile(join(FOLDER, example.file), "utf8")).split("\n").length - 1;
      assert.ok(lines < FILE_LINES_MAX, `${lines} lines`);
    });

    test("lets in whom it knows, and tells all how many are there", async () => {
      const stranger = await Client.open(`ws://${server.host}/ws?token=another`);
      assert.deepEqual(await stranger.nextClose(), { code: 4001, reason: "not for you" });
      const ada = await enter("ada");
      assert.equal(ada.welcome.userId, "ada");
      assert.deepEqual(await ada.nextJson(), online(1));
      const grace = await enter("grace");
      assert.deepEqual(await grace.nextJson(), online(2));
      assert.deepEqual(await ada.nextJson(), online(2));
      await grace.leave();
      assert.deepEqual(await ada.nextJson(), online(1));
      await ada.leave();
    });

    test("says who may join, and saves what is said and tells the others", async () => {
      const [ada, grace] = await Promise.all([enter("ada"), enter("grace")]);
      const refused = await answerTo(grace, { type: "join", room: "chat:staff", id: 1 });
      assert.deepEqual(refused, { type: "error", id: 1, code: "hook_refused", message: "not for you" });
      assert.deepEqual(await answerTo(ada, { type: "join", room: "chat:staff", id: 2 }), { type: "ack", id: 2 });

      const say = (room, text) => ({ type: "event", event: "say", payload: { room, text }, id: 3 });
      const kept = Number((await answerTo(ada, say("chat:lobby", 'h\u00e9 "you" \\ \u{1f600}'))).reply);
      const { event, payload } = await next(grace);
      assert.deepEqual([event, payload.from, payload.text, payload.number], ["say", "ada", 'h\u00e9 "you" \\ \u{1f600}', kept]);
      assert.equal((await answerTo(ada, say("chat:staff", "hush"))).reply, kept + 1);
      for (const bad of [say("chat:staff", "let me in"), say("chat:lobby", 7), { ...say(), payload: null }, { ...say(), payload: [1] }]) {
        assert.equal((await answerTo(grace, bad)).code, "hook_refused");
      }
      assert.equal((await answerTo(grace, { type: "broadcast", room: "chat:lobby", payload: 1, id: 4 })).code, "forbidden");

      const history = await (await fetch(`http://${server.host}/history`)).json();
      assert.deepEqual(history.map(({ from, text }) => [from, text]), [["ada", 'h\u00e9 "you" \\ \u{1f600}']]);
      await Promise.all([ada.leave(), grace.leave()]);
    });

    test("does what is signed, and a second time what it did before", async () => {
      const webhook = new Webhook(toml.match(/secret = "(.*)"/)[1]);
      const data = { request: "r", connection: "00000000000100000001", user: "ada", transport: "websocket" };
      const body = JSON.stringify({ type: "message", timestamp: "2026-01-01T00:00:00Z", data: { ...data, event: "say", payload: { room: "chat:lobby", text: "twice" } } });
      const post = async (at = new Date(), sent = body) => {
        const headers = {
          "webhook-id": "message_r_1",
          "webhook-timestamp": String(Math.floor(at / 1000)),
          "webhook-signature": `v1,AAAA ${webhook.sign("message_r_1", at, body)}`,
        };
        const response = await fetch(`http://127.0.0.1:${port}/hooks`, { method: "POST", headers, body: sent });
        return { status: response.status, said: response.ok && await response.json() };
      };
      const first = await post();
      assert.equal(first.status, 200);
      assert.deepEqual(await post(), first, "the same number");
      assert.equal((await post(new Date(), body.replace("twice", "tWice"))).status, 401, "another body");
      assert.equal((await post(new Date(Date.now() - 600_000))).status, 401, "an old call");
      assert.equal((await fetch(`http://${server.host}/hooks`, { method: "POST", body })).status, 401, "by a client");
      const history = await (await fetch(`http://${server.host}/history`)).json();
      assert.equal(history.filter(({ text }) => text === "twice").length, 1);
    });
  });
}
