// The JavaScript client against the real server, over a network that breaks: what is lost, what comes back, what is told.
import assert from "node:assert/strict";
import { after, afterEach, before, test } from "node:test";
import { Client, within } from "../client.mjs";
import { QUICK, listening, reaches } from "../library.mjs";
import { Relay } from "../relay.mjs";
import { serve, token } from "../server.mjs";
import { VestibuleError, connect } from "../../clients/js/dist/vestibule.js";

const RULES = `
[[room]]
pattern = "kept:*"
join = "authenticated"
publish = "authenticated"
history = { size = 100, ttl = "5m" }

[[room]]
pattern = "short:*"
join = "authenticated"
publish = "authenticated"
history = { size = 3, ttl = "5m" }
`;

const ENV = { VESTIBULE_LIMITS__ROOMS_PER_CONNECTION: "100" };

let server;
let relay;
let clients = [];

before(async () => {
  server = await serve({ rules: RULES, env: ENV });
  relay = await Relay.to(server);
});

afterEach(() => {
  for (const client of clients) client.close();
  clients = [];
  relay.blocksWebSocket = relay.isDown = false;
});

/** Cuts the client off, and lets it come back only when `meanwhile` is done. */
async function away(client, meanwhile) {
  relay.isDown = true;
  relay.cut();
  await reaches(client, "waiting");
  await meanwhile();
  relay.isDown = false;
}

after(async () => {
  relay?.close();
  if (server) assert.deepEqual(await server.stop(), { code: 0, signal: null }, server.output);
});

/** A client through the relay. */
function come(options = {}, { user = "ada", host = relay.host } = {}) {
  const client = connect(`ws://${host}/ws`, { token: () => token(user), ...QUICK, ...options });
  client.states = [];
  client.on("state", (state) => client.states.push(state));
  clients.push(client);
  return client;
}

/** Somebody who speaks without a relay, by the protocol itself. */
async function speaker() {
  const bob = await Client.enter(server, token("bob"));
  let id = 0;
  return {
    say: async (room, payload, event) => {
      const answer = await bob.request({ type: "broadcast", room, payload, event, id: ++id });
      assert.equal(answer.type, "ack");
      return answer.position;
    },
    /** Is there, so that the room is. */
    stay: (room) => bob.request({ type: "join", room, id: ++id }),
    leave: () => bob.leave(),
  };
}

const numbers = (from, to) => Array.from({ length: to - from + 1 }, (_, n) => from + n);
const spoken = (room) => room.heard.filter((what) => typeof what === "number");

test("two clients in a room hear each other, by name, and not themselves", async () => {
  const [ada, bob] = [come(), come({}, { user: "bob" })];
  const rooms = (await Promise.all([ada, bob].map((client) => client.join("kept:talk")))).map(listening);
  assert.equal((await reaches(ada, "open")).userId, "ada");
  const named = new Promise((resolve) => { rooms[1].on("greeting", (...told) => resolve(told)); });
  const { position } = await rooms[0].publish({ text: "hi 🦀" }, { event: "greeting" });
  assert.match(position, /^[0-9a-f]{8}-1$/);
  assert.deepEqual(await within(named, "the greeting"), [{ text: "hi 🦀" }, { room: "kept:talk", event: "greeting", position }]);
  await rooms[1].publish(1);
  await rooms[0].until(1);
  assert.deepEqual(rooms[0].heard, ["open", 1]);
  assert.ok(await ada.ping() >= 0);
});

test("what the server refuses is rejected with its code", async () => {
  const client = come();
  await assert.rejects(client.join("secret:1"), (error) => error instanceof VestibuleError && error.code === "forbidden");
  await assert.rejects(client.publish("quiet:1", 1), { code: "forbidden" });
  await assert.rejects(client.publish("a", 1, { event: "gap" }), { code: "bad_message" });
  await assert.rejects(client.join("x".repeat(300)), { code: "room_name" });
});

test("whoever is cut off again and again hears everything, once and in order", async () => {
  const bob = await speaker();
  const client = come();
  const room = listening(await client.join("kept:cut"));
  for (let round = 0; round < 5; round += 1) {
    await bob.say("kept:cut", round * 10 + 1);
    await away(client, async () => {
      for (const n of numbers(round * 10 + 2, round * 10 + 10)) await bob.say("kept:cut", n);
    });
    await reaches(client, "open");
  }
  await room.until(50);
  assert.deepEqual(spoken(room), numbers(1, 50));
  assert.ok(!room.heard.some((what) => String(what).startsWith("gap")), JSON.stringify(room.heard));
  await bob.leave();
});

test("a speaker that is cut off does not hear itself in what it missed", async () => {
  const bob = await speaker();
  const client = come();
  const room = listening(await client.join("kept:own"));
  for (const n of numbers(1, 20)) {
    if (n % 3 === 0) await bob.say("kept:own", n);
    else await room.publish(-n);
    if (n % 5 === 0) {
      relay.cut();
      await reaches(client, "waiting");
    }
  }
  await bob.say("kept:own", 21);
  await room.until(21);
  assert.deepEqual(spoken(room), [3, 6, 9, 12, 15, 18, 21]);
  await bob.leave();
});

test("what is said while nobody is there goes out when somebody is", async () => {
  const client = come();
  const hearer = come({}, { host: server.host });
  const heard = listening(await hearer.join("kept:queue"));
  await reaches(client, "open");
  relay.cut();
  await reaches(client, "waiting");
  await Promise.all(numbers(1, 10).map((n) => client.publish("kept:queue", n)));
  await heard.until(10);
  assert.deepEqual(spoken(heard), numbers(1, 10));
});

test("more than the room keeps is a gap, told before what follows", async () => {
  const bob = await speaker();
  const client = come();
  const room = listening(await client.join("short:1"));
  await bob.say("short:1", 1);
  await room.until(1);
  await away(client, async () => {
    for (const n of numbers(2, 8)) await bob.say("short:1", n);
  });
  await room.until("gap: not_recovered");
  await bob.say("short:1", 9);
  await room.until(9);
  assert.deepEqual(room.heard, ["open", 1, "open", "gap: not_recovered", 9]);
  await bob.leave();
});

test("a room that keeps nothing tells that one was away", async () => {
  const bob = await speaker();
  const client = come();
  const room = listening(await client.join("plain"));
  relay.cut();
  await reaches(client, "waiting");
  await room.until("gap: no_history");
  await bob.say("plain", 1);
  await room.until(1);
  assert.deepEqual(room.heard, ["open", "open", "gap: no_history", 1]);
  await bob.leave();
});

test("a position that was kept is where a later client goes on from, and earliest is all there is", async () => {
  const bob = await speaker();
  const first = come();
  const before = listening(await first.join("kept:later"));
  const positions = [];
  before.on("message", (_, { position }) => positions.push(position));
  for (const n of numbers(1, 5)) await bob.say("kept:later", n);
  await before.until(5);
  assert.equal(before.position, positions[4]);
  first.close();
  const [since, earliest, lost] = [come(), come(), come()];
  const [later, all, gone] = (await Promise.all([
    since.join("kept:later", { since: positions[2] }),
    earliest.join("kept:later", { since: "earliest" }),
    lost.join("kept:later", { since: "0badcafe-3" }),
  ])).map(listening);
  await Promise.all([later.until(5), all.until(5), gone.until("gap: not_recovered")]);
  assert.deepEqual([spoken(later), spoken(all), spoken(gone)], [[4, 5], [1, 2, 3, 4, 5], []]);
  await bob.leave();
});

test("a server that falls silent is seen by a ping, and nothing is lost when it goes on", async () => {
  const own = await serve({ rules: RULES });
  const between = await Relay.to(own);
  try {
    const client = come({ pingIntervalMs: 200, pingTimeoutMs: 300, openTimeoutMs: 500 }, { host: between.host });
    const hearer = come({}, { host: own.host });
    const room = listening(await client.join("kept:frozen"));
    await (await hearer.join("kept:frozen")).publish(1);
    await room.until(1);
    own.freeze();
    const { reason } = await reaches(client, "waiting");
    assert.equal(reason, "the server did not answer a ping");
    own.thaw();
    await hearer.publish("kept:frozen", 2);
    await room.until(2);
    assert.deepEqual(spoken(room), [1, 2]);
    assert.ok(!room.heard.some((what) => String(what).startsWith("gap")), JSON.stringify(room.heard));
    hearer.close();
    client.close();
  } finally {
    between.close();
    own.thaw();
    await own.stop();
  }
});

test("a drain is followed by the wait that the server asked for, and a restart by a gap", async () => {
  const [first, second] = [await serve({ rules: RULES }), await serve({ rules: RULES })];
  const between = await Relay.to(first);
  try {
    const client = come({}, { host: between.host });
    const room = listening(await client.join("kept:moved"));
    const waiting = reaches(client, "waiting");
    between.turn(second);
    assert.deepEqual(await first.stop(), { code: 0, signal: null }, first.output);
    const { code, reason, retryInMs } = await waiting;
    assert.deepEqual([code, reason], [1001, `retry=${retryInMs}`]);
    await room.until("gap: not_recovered");
    const bob = come({}, { host: second.host });
    await bob.publish("kept:moved", 1);
    await room.until(1);
    assert.deepEqual(room.heard, ["open", "open", "gap: not_recovered", 1]);
    bob.close();
    client.close();
  } finally {
    between.close();
    await second.stop();
  }
});

test("a token that ends is replaced, and the connection with it", async () => {
  let minted = 0;
  const client = come({ token: () => token("ada", { expiresIn: ++minted === 1 ? -5 : 3600 }) });
  await reaches(client, "open");
  assert.equal(minted, 2);
  assert.deepEqual(client.states.map(({ status, code, retryInMs }) => [status, code, retryInMs]), [
    ["connecting", undefined, undefined],
    ["waiting", 4010, 0],
    ["connecting", undefined, undefined],
    ["open", undefined, undefined],
  ]);
});

test("a token is replaced on the open connection, which outlives it", async () => {
  let minted = 0;
  const fourth = new Promise((resolve) => {
    come({ token: () => {
      if (++minted === 4) resolve();
      return token("ada", { expiresIn: 4 });
    } });
  });
  await within(fourth, "the fourth token");
  assert.deepEqual(clients[0].states.map(({ status }) => status), ["connecting", "open"]);
});

test("a token that is none stops it, whichever way the server says so", async () => {
  const answering = await serve({ refuse: "http-401", rules: RULES });
  try {
    for (const host of [relay.host, answering.host]) {
      const client = come({ token: "nonsense" }, { host });
      await assert.rejects(client.join("kept:none"), { code: "unauthorized" });
      assert.equal(client.state.error.closeCode, 4001);
    }
  } finally {
    await answering.stop();
  }
});

test("too many messages are followed by a long wait", async () => {
  const strict = await serve({ env: { VESTIBULE_LIMITS__MESSAGES_PER_SECOND: "5", VESTIBULE_LIMITS__BURST: "5" } });
  try {
    const client = come({ retryMaxMs: 30_000 }, { host: strict.host });
    await reaches(client, "open");
    const outcomes = Promise.allSettled(numbers(1, 20).map((n) => client.publish("a", n)));
    const { code, retryInMs } = await reaches(client, "waiting");
    assert.equal(code, 4029);
    assert.ok(retryInMs >= 30_000, `${retryInMs} ms`);
    const rejected = (await outcomes).filter(({ status }) => status === "rejected").map(({ reason }) => reason.code);
    assert.ok(rejected.length > 0 && rejected.every((reason) => reason === "lost"), JSON.stringify(rejected));
    client.close();
  } finally {
    await strict.stop();
  }
});

test("as much as may wait is no flood when it goes out", async () => {
  const usual = await serve({ env: { VESTIBULE_LIMITS__MESSAGES_PER_SECOND: "50", VESTIBULE_LIMITS__BURST: "100" } });
  try {
    const hearer = come({}, { host: usual.host });
    const heard = listening(await hearer.join("b"));
    const client = come({}, { host: usual.host });
    const rooms = ["b", "c", "d"].map((name) => client.join(name));
    await Promise.all(numbers(1, 100).map((n) => client.publish("b", n)));
    await Promise.all(rooms);
    await heard.until(100);
    assert.deepEqual(spoken(heard), numbers(1, 100));
    assert.deepEqual(client.states.map(({ status }) => status), ["connecting", "open"]);
    hearer.close();
    client.close();
  } finally {
    await usual.stop();
  }
});

// --- where WebSocket is blocked ----------------------------------------------

test("where WebSocket is blocked it hears by streams, and says that it cannot speak", async () => {
  relay.blocksWebSocket = true;
  const bob = await speaker();
  const client = come();
  const queued = assert.rejects(client.publish("kept:s1", 0), { code: "receive_only" });
  const rooms = (await Promise.all(["kept:s1", "kept:s2", "plain:s"].map((name) => client.join(name)))).map(listening);
  assert.equal((await reaches(client, "open")).transport, "sse");
  await queued;
  await assert.rejects(rooms[0].publish(1), { code: "receive_only" });
  await assert.rejects(client.ping(), { code: "receive_only" });
  const named = new Promise((resolve) => { rooms[1].on("named", (...told) => resolve(told)); });
  await bob.say("kept:s1", 1);
  const position = await bob.say("kept:s2", { lines: "a\nb\r\nc" }, "named");
  await bob.say("plain:s", 3);
  await Promise.all([rooms[0].until(1), rooms[2].until(3)]);
  assert.deepEqual(await within(named, "the named one"), [{ lines: "a\nb\r\nc" }, { room: "kept:s2", event: "named", position }]);
  await bob.leave();
});

test("a stream that is cut off goes on where it was, in every room", async () => {
  relay.blocksWebSocket = true;
  const bob = await speaker();
  const client = come();
  const rooms = (await Promise.all(["kept:t1", "kept:t2"].map((name) => client.join(name)))).map(listening);
  for (let round = 0; round < 4; round += 1) {
    await away(client, async () => {
      for (const n of numbers(round * 5 + 1, round * 5 + 5)) {
        for (const { name } of rooms) await bob.say(name, n);
      }
    });
    await reaches(client, "open");
  }
  for (const room of rooms) {
    await room.until(20);
    assert.deepEqual(spoken(room), numbers(1, 20));
    assert.ok(!room.heard.some((what) => String(what).startsWith("gap")), JSON.stringify(room.heard));
  }
  await bob.leave();
});

test("a stream tells what it could not recover, and nothing where nothing was said", async () => {
  relay.blocksWebSocket = true;
  const bob = await speaker();
  const client = come();
  const names = ["short:s", "plain:u", "plain:v"];
  for (const name of names) await bob.stay(name);
  const rooms = (await Promise.all(names.map((name) => client.join(name)))).map(listening);
  const [short, loud] = rooms;
  await bob.say("short:s", 1);
  await short.until(1);
  await away(client, async () => {
    for (const n of numbers(2, 9)) await bob.say("short:s", n);
    await bob.say("plain:u", 2);
  });
  await Promise.all([short, loud].map((room) => room.until("gap: not_recovered")));
  for (const { name } of rooms) await bob.say(name, 10);
  await Promise.all(rooms.map((room) => room.until(10)));
  assert.deepEqual(rooms.map(({ heard }) => heard), [
    ["open", 1, "open", "gap: not_recovered", 10],
    ["open", "open", "gap: not_recovered", 10],
    ["open", "open", 10],
  ]);
  await bob.leave();
});

test("rooms join and leave a stream, more than one stream holds, and nothing is missed by the others", async () => {
  relay.blocksWebSocket = true;
  const bob = await speaker();
  const client = come();
  const names = numbers(1, 20).map((n) => `kept:many-${n}`);
  const rooms = [];
  for (const name of names) {
    rooms.push(listening(await client.join(name)));
    await bob.say(names[0], rooms.length);
  }
  await rooms[0].until(20);
  assert.deepEqual(spoken(rooms[0]), numbers(1, 20));
  await rooms[1].leave();
  await bob.say(names[1], 1);
  for (const name of names.slice(2)) await bob.say(name, 2);
  await Promise.all(rooms.slice(2).map((room) => room.until(2)));
  assert.deepEqual(rooms[1].heard, ["open", "close: undefined"]);
  assert.deepEqual(client.states.filter(({ status }) => status === "open").length, 1);
  await bob.leave();
});

test("a room that one may not hear is refused, and the others stay", async () => {
  relay.blocksWebSocket = true;
  const bob = await speaker();
  const client = come();
  const outcomes = await Promise.allSettled(["kept:r1", "secret:1", "x".repeat(300), "kept:r2"].map((name) => client.join(name)));
  assert.deepEqual(outcomes.map(({ reason }) => reason?.code), [undefined, "forbidden", "room_name", undefined]);
  const room = listening(outcomes[3].value);
  await bob.say("kept:r2", 1);
  await room.until(1);
  await assert.rejects(client.join("secret:2"), { code: "forbidden" });
  await bob.say("kept:r2", 2);
  await room.until(2);
  await bob.leave();
});

test("the WebSocket is tried again, and taken without a loss", async () => {
  relay.blocksWebSocket = true;
  const bob = await speaker();
  const client = come({ upgradeIntervalMs: 200 });
  const room = listening(await client.join("kept:up"));
  assert.equal(client.state.transport, "sse");
  const accepted = relay.accepted;
  let n = 0;
  // It is tried in vain, and goes on hearing.
  while (relay.accepted < accepted + 2) await bob.say("kept:up", ++n);
  relay.blocksWebSocket = false;
  while (client.state.transport !== "websocket") await bob.say("kept:up", ++n);
  await room.publish(-1);
  await bob.say("kept:up", ++n);
  await room.until(n);
  assert.deepEqual(spoken(room), numbers(1, n));
  assert.ok(!client.states.slice(1).some(({ status }) => status === "waiting" && client.states.length > 5), JSON.stringify(client.states));
  await bob.leave();
});

test("a drain ends a stream in order, and it comes back after the wait that it was given", async () => {
  const [first, second] = [await serve({ rules: RULES }), await serve({ rules: RULES })];
  const between = await Relay.to(first);
  between.blocksWebSocket = true;
  try {
    const client = come({}, { host: between.host });
    const room = listening(await client.join("kept:drained"));
    const waiting = reaches(client, "waiting");
    between.turn(second);
    await first.stop();
    const { code, reason, retryInMs } = await waiting;
    assert.deepEqual([code, reason], [1001, `retry=${retryInMs}`]);
    await reaches(client, "open");
    await room.until("gap: not_recovered");
    client.close();
  } finally {
    between.close();
    await second.stop();
  }
});

test("through thirty cuts, by WebSocket and by streams, everybody hears everything once and in order", async () => {
  const bob = await speaker();
  const names = ["ann", "bea", "cy"];
  const clients = names.map((user) => come({ fallbackAfter: 1, upgradeIntervalMs: 100 }, { user }));
  const rooms = (await Promise.all(clients.map((client) => client.join("kept:ledger")))).map(listening);
  const acked = names.map(() => []);
  const rejected = [];
  const say = (index, what) => clients[index].publish("kept:ledger", what, { queue: false })
    .then(() => acked[index].push(what), ({ code }) => rejected.push(code));
  for (const round of numbers(1, 30)) {
    relay.blocksWebSocket = round % 3 === 0;
    const saying = names.map((name, index) => say(index, `${name} ${round}`));
    await bob.say("kept:ledger", 2 * round - 1);
    // Every other time nobody knows whether it was taken.
    if (round % 2 === 1) await Promise.all(saying);
    relay.cut();
    await bob.say("kept:ledger", 2 * round);
    await Promise.all(saying);
    // Each round finds one of them connected again, and the others as it happens.
    await reaches(clients[round % 3], "open");
  }
  relay.blocksWebSocket = false;
  await bob.say("kept:ledger", 61);
  await Promise.all(rooms.map((room) => room.until(61)));
  assert.ok(rejected.every((code) => ["lost", "offline", "receive_only"].includes(code)), JSON.stringify(rejected));
  assert.ok(acked.flat().length > 0);
  for (const [index, room] of rooms.entries()) {
    assert.deepEqual(spoken(room), numbers(1, 61), names[index]);
    assert.equal(new Set(room.heard.filter((what) => what !== "open")).size, room.heard.filter((what) => what !== "open").length);
    assert.ok(!room.heard.some((what) => String(what).startsWith("gap")), JSON.stringify(room.heard));
    for (const [speaking, whats] of acked.entries()) {
      const heard = whats.filter((what) => room.heard.includes(what));
      assert.deepEqual(heard, speaking === index ? [] : whats, `${names[speaking]} at ${names[index]}`);
    }
  }
  assert.deepEqual(new Set(clients.flatMap(({ states }) => states.map(({ transport }) => transport))), new Set([undefined, "websocket", "sse"]));
  await bob.leave();
});
