// The JavaScript client where an application is asked: it is told what the application says, and is not lost when that
// says nothing.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Application, KEY } from "../application.mjs";
import { within } from "../client.mjs";
import { QUICK, listening, reaches } from "../library.mjs";
import { Relay } from "../relay.mjs";
import { call, serve, token } from "../server.mjs";
import { VestibuleError, connect } from "../../clients/js/dist/vestibule.js";

const RULES = `
[[room]]
pattern = "asked:*"
join = "hook"
history = { size = 100, ttl = "5m" }
`;

/** After so many calls in a row that got no answer the server asks nothing for a while. */
const UNANSWERED_MAX = 8;

const verdicts = {
  connect: () => ({ allow: true }),
  join: ({ data }) => ({ allow: data.room !== "asked:full", reason: "it is full" }),
  message: ({ data: { event, payload } }) => (event === "buy" ? { allow: false, reason: "sold out" } : { reply: payload }),
};

/** A server, an application that it asks about `events`, and a network between it and its clients; all end with the test. */
async function places(t, events) {
  const application = await Application.begin({ ...verdicts });
  const env = { VESTIBULE_HOOKS__URL: application.url, VESTIBULE_HOOKS__SECRET: KEY };
  if (events) env.VESTIBULE_HOOKS__EVENTS = JSON.stringify(events);
  const server = await serve({ rules: RULES, env });
  const relay = await Relay.to(server);
  const clients = [];
  t.after(async () => {
    for (const client of clients) client.close();
    relay.close();
    try {
      assert.deepEqual(await server.stop(), { code: 0, signal: null }, server.output);
    } finally {
      await application.stop();
    }
  });
  /** A client, with the errors that the server told it. */
  const come = (options = {}) => {
    const errors = [];
    const waiting = new Set();
    class WebSocket extends QUICK.WebSocket {
      constructor(...told) {
        super(...told);
        this.addEventListener("message", ({ data }) => {
          const { type, code } = JSON.parse(data);
          if (type === "error") errors.push(code);
          for (const look of waiting) look();
        });
      }
    }
    const client = connect(`ws://${relay.host}/ws`, { token: () => token("ada"), ...QUICK, WebSocket, ...options });
    client.errors = (count) => within(new Promise((resolve) => {
      const look = () => errors.length >= count && resolve(waiting.delete(look));
      waiting.add(look);
      look();
    }), `error ${count}`).then(() => errors);
    clients.push(client);
    return client;
  };
  const say = (room, payload) => call(server, "/publish", JSON.stringify({ room, payload }));
  return { application, relay, come, say };
}

/** Cuts a client off, and lets it come back only when `meanwhile` is done. */
async function away(relay, client, meanwhile) {
  relay.isDown = true;
  relay.cut();
  await reaches(client, "waiting");
  await meanwhile();
  relay.isDown = false;
}

test("what the application replies is what an event is resolved to", async (t) => {
  const { come } = await places(t);
  const client = come();
  for (const payload of [{ text: 'a "b" \\ \u00e9 \u2028 🦀' }, [1, [2]], "", 0, false, null]) {
    assert.deepEqual(await client.send("say", payload), payload);
  }
  const numbers = Array.from({ length: 100 }, (_, n) => n);
  assert.deepEqual(await Promise.all(numbers.map((n) => client.send("say", n))), numbers);
});

test("an event that the application says nothing about is done, and resolved to nothing", async (t) => {
  const { application, come } = await places(t);
  delete application.verdicts.message;
  assert.equal(await come().send("say", 1), undefined);
  assert.equal((await application.called("message")).event.data.payload, 1);
});

test("what the application refuses is rejected with its reason, and the connection goes on", async (t) => {
  const { come } = await places(t);
  const client = come();
  await assert.rejects(client.send("buy", { what: "bread" }), (error) => {
    assert.ok(error instanceof VestibuleError);
    assert.deepEqual([error.code, error.message], ["hook_refused", "sold out"]);
    return true;
  });
  await assert.rejects(client.join("asked:full"), { code: "hook_refused", message: "it is full" });
  assert.equal(await client.send("say", 1), 1);
  assert.equal((await client.join("asked:1")).status, "joined");
});

test("an event that nobody is asked about is rejected", async (t) => {
  const { application, come } = await places(t, ["join"]);
  await assert.rejects(come().send("say", 1), { code: "no_hook" });
  assert.deepEqual(application.had, []);
});

test("while the application is away, an event and a first join are rejected, and both work when it is back", async (t) => {
  const { application, come } = await places(t, ["join", "message"]);
  const client = come();
  await reaches(client, "open");
  await application.stop();
  await assert.rejects(client.send("say", 1), { code: "hook_timeout" });
  await assert.rejects(client.join("asked:1"), { code: "hook_timeout" });
  await application.start();
  assert.equal(await client.send("say", 2), 2);
  assert.equal((await client.join("asked:1")).status, "joined");
});

test("a member that comes back while the application is away is asked about until it is one, and misses nothing", async (t) => {
  const { application, relay, come, say } = await places(t, ["join", "message"]);
  const client = come();
  const room = listening(await client.join("asked:1"));
  await say("asked:1", 1);
  await room.until(1);
  await away(relay, client, async () => {
    await application.stop();
    await say("asked:1", 2);
  });
  // The last of these are told without another try: the server leaves it in peace for a while.
  const errors = await client.errors(UNANSWERED_MAX + 2);
  assert.deepEqual(new Set(errors), new Set(["hook_timeout"]));
  assert.deepEqual([client.state.status, room.status], ["open", "joining"]);
  await say("asked:1", 3);
  await application.start();
  await room.until(3);
  assert.deepEqual([room.status, room.heard], ["joined", ["open", 1, "open", 2, 3]]);
});

test("a member that comes back to an application that takes calls and says nothing is one when it speaks again", async (t) => {
  const { application, relay, come, say } = await places(t, ["join"]);
  const client = come();
  const room = listening(await client.join("asked:1"));
  await away(relay, client, async () => {
    application.isSilent = true;
    await say("asked:1", 1);
  });
  await application.called("join", 2);
  assert.deepEqual(await client.errors(1), ["hook_timeout"]);
  assert.equal(room.status, "joining");
  application.isSilent = false;
  await room.until(1);
  assert.deepEqual(room.heard, ["open", "open", 1]);
});

test("where connections are asked about too, a client comes again until the application is back, and its rooms with it", async (t) => {
  const { application, relay, come, say } = await places(t);
  const client = come();
  const room = listening(await client.join("asked:1"));
  const closed = new Promise((resolve) => { client.on("state", ({ code, reason }) => code === 1013 && resolve(reason)); });
  await away(relay, client, async () => {
    await application.stop();
    await say("asked:1", 1);
  });
  assert.match(await within(closed, "the close with 1013"), /^retry=[123]\d{3}$/);
  await application.start();
  await room.until(1);
  assert.deepEqual([client.state.status, room.heard], ["open", ["open", "open", 1]]);
});

test("a member that the application wants no more when it is back hears so, and nothing else", async (t) => {
  const { application, relay, come, say } = await places(t, ["join"]);
  const client = come();
  const room = listening(await client.join("asked:1"));
  await away(relay, client, async () => {
    await application.stop();
    await say("asked:1", "not for her");
  });
  await client.errors(2);
  application.verdicts.join = () => ({ allow: false, reason: "you were removed" });
  await application.start();
  await room.until("close: hook_refused");
  assert.deepEqual([room.status, room.heard], ["left", ["open", "close: hook_refused"]]);
  assert.equal(client.state.status, "open");
});
