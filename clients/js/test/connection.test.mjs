// The client in a world where time and sockets are the test's: coming back, and what is said meanwhile.
import assert from "node:assert/strict";
import { test } from "node:test";
import { World, joined, settled } from "./world.mjs";

const jwt = (claims) => `e30.${Buffer.from(JSON.stringify(claims)).toString("base64url")}.sig`;
const at = (offset, epoch = "0000000a") => `${epoch}-${offset}`;
const statuses = (client) => client.states.map(({ status }) => status);

test("the token goes in a subprotocol, and a fresh one is asked for at each attempt", async () => {
  const world = new World();
  let minted = 0;
  await world.connect({ token: async () => `t${++minted}` });
  assert.equal(world.socket.url, "wss://edge.example.com/ws");
  assert.deepEqual(world.socket.protocols, ["vestibule", "bearer.t1"]);
  world.socket.ends(1011);
  await world.pass(1000);
  assert.deepEqual(world.socket.protocols, ["vestibule", "bearer.t2"]);
});

test("without a WebSocket it says so at once", async () => {
  const world = new World();
  world.WebSocket = undefined;
  await assert.rejects(world.connect(), /there is no WebSocket here/);
});

test("without a token only the subprotocol is offered", async () => {
  const world = new World();
  await world.connect();
  assert.deepEqual(world.socket.protocols, ["vestibule"]);
});

test("it is open once the server has said who one is", async () => {
  const world = new World();
  const client = await world.connect();
  assert.equal(client.state.status, "connecting");
  world.socket.welcomes("c7");
  assert.deepEqual(client.state, { status: "open", transport: "websocket", userId: "ada", connection: "c7", shard: 0 });
});

test("waits grow from one second to thirty, and begin anew only after a stable connection", async () => {
  const world = new World();
  world.chance = 1;
  const client = await world.connect({ eventsUrl: false });
  const waits = [];
  for (let attempt = 0; attempt < 7; attempt += 1) {
    world.socket.ends();
    waits.push(client.state.retryInMs);
    await world.pass(client.state.retryInMs);
    assert.equal(world.sockets.length, attempt + 2);
  }
  assert.deepEqual(waits, [1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]);
  world.socket.welcomes();
  await world.pass(9_999);
  world.socket.ends();
  assert.equal(client.state.retryInMs, 30_000, "not stable yet");
  await world.pass(30_000);
  world.socket.welcomes();
  await world.pass(10_000);
  world.socket.ends();
  assert.equal(client.state.retryInMs, 1000);
});

test("after as many attempts as it may make it gives up, and says so to all who wait", async () => {
  const world = new World();
  const client = await world.connect({ retryLimit: 2, eventsUrl: false });
  const joining = assert.rejects(client.join("a"), { code: "retry_limit" });
  const publishing = assert.rejects(client.publish("a", 1), { code: "retry_limit" });
  for (let attempt = 0; attempt < 3; attempt += 1) {
    world.socket.ends();
    await world.pass(30_000);
  }
  await Promise.all([joining, publishing]);
  assert.equal(world.sockets.length, 3);
  assert.equal(client.state.status, "closed");
  assert.equal(client.state.error.code, "retry_limit");
  await assert.rejects(client.join("b"), { code: "retry_limit" });
  assert.deepEqual([world.runningTimers, world.listenersOfReturn], [0, 0]);
});

for (const [code, expected] of [[4001, "unauthorized"], [4003, "forbidden"], [1008, "policy"]]) {
  test(`${code} stops it`, async () => {
    const world = new World();
    const client = await world.open();
    const room = await joined(world, client, "a");
    world.socket.ends(code, "no");
    await world.pass(1_000_000);
    assert.equal(world.sockets.length, 1);
    assert.equal(client.state.error.code, expected);
    assert.equal(client.state.error.closeCode, code);
    assert.deepEqual(room.heard, [`close: ${expected}`]);
    assert.equal(world.runningTimers, 0);
  });
}

test("a hint is kept to, and no return of the network cuts it short", async () => {
  const world = new World();
  const client = await world.open();
  world.socket.ends(1001, "retry=2500");
  assert.equal(client.state.retryInMs, 2500);
  world.returns();
  await world.pass(2499);
  assert.equal(world.sockets.length, 1);
  await world.pass(1);
  assert.equal(world.sockets.length, 2);
});

test("an ended token is replaced at once, and a fresh one that is refused too waits its turn", async () => {
  const world = new World();
  let minted = 0;
  const client = await world.connect({ token: () => `t${++minted}` });
  world.socket.ends(4010);
  assert.equal(client.state.retryInMs, 0);
  await world.pass(0);
  assert.deepEqual(world.socket.protocols, ["vestibule", "bearer.t2"]);
  world.socket.ends(4010);
  assert.equal(client.state.retryInMs, 1000);
});

test("where there is only one token, its end is the end", async () => {
  const world = new World();
  const client = await world.open({ token: "t" });
  world.socket.ends(4010);
  assert.equal(client.state.error.code, "token_expired");
});

test("too many messages are followed by half a minute or more", async () => {
  const world = new World();
  world.chance = 0;
  const client = await world.open();
  world.socket.ends(4029);
  assert.equal(client.state.retryInMs, 30_000);
  world.returns();
  await world.pass(29_999);
  assert.equal(world.sockets.length, 1);
});

test("a return of the network shortens a wait, and tries out a connection that is there", async () => {
  const world = new World();
  world.chance = 1;
  const client = await world.open();
  world.returns();
  assert.deepEqual(world.socket.sent, [{ type: "ping" }]);
  for (let attempt = 0; attempt < 5; attempt += 1) {
    world.socket.ends(1011);
    await world.pass(attempt < 4 ? client.state.retryInMs : 0);
  }
  assert.equal(client.state.retryInMs, 16_000);
  world.chance = 0.1;
  world.returns();
  world.returns();
  await world.pass(99);
  assert.equal(world.sockets.length, 5);
  await world.pass(1);
  assert.equal(world.sockets.length, 6);
});

test("a token that cannot be had is waited for", async () => {
  const world = new World();
  let asked = 0;
  const client = await world.connect({
    token: () => {
      asked += 1;
      if (asked === 1) throw new Error("log in first");
      return asked === 2 ? new Promise(() => {}) : "t3";
    },
  });
  assert.equal(client.state.reason, "log in first");
  await world.pass(500);
  assert.equal(asked, 2);
  await world.pass(10_000);
  assert.equal(client.state.reason, "no token came in time");
  await world.pass(1000);
  assert.deepEqual(world.sockets.map(({ protocols }) => protocols[1]), ["bearer.t3"]);
});

test("who closes it while a token is fetched has no connection opened", async () => {
  const world = new World();
  let bring;
  const client = await world.connect({ token: () => new Promise((resolve) => { bring = resolve; }) });
  client.close();
  bring("t");
  await settled();
  assert.equal(world.sockets.length, 0);
});

test("a handshake that takes too long is given up", async () => {
  const world = new World();
  const client = await world.connect({ openTimeoutMs: 3000 });
  await world.pass(3000);
  assert.equal(client.state.status, "waiting");
  assert.equal(world.socket.closedWith, 1000);
});

test("a silent connection is asked, and is dead if it does not answer", async () => {
  const world = new World();
  const client = await world.open({ pingIntervalMs: 20_000, pingTimeoutMs: 5000 });
  const first = world.socket;
  await world.pass(15_000);
  first.says({ type: "message", room: "x", payload: 1 });
  await world.pass(19_999);
  assert.deepEqual(first.sent, [], "something was heard meanwhile");
  await world.pass(1);
  assert.deepEqual(first.sent, [{ type: "ping" }]);
  first.says({ type: "pong" });
  await world.pass(20_000 + 4999);
  assert.equal(first.sent.length, 2);
  assert.equal(client.state.status, "open");
  await world.pass(1);
  assert.equal(client.state.status, "waiting");
  assert.equal(client.state.reason, "the server did not answer a ping");
});

test("a ping that is waited for longer than the interval is one, and ends", async () => {
  const world = new World();
  const client = await world.open({ pingIntervalMs: 2000, pingTimeoutMs: 5000 });
  await world.pass(6999);
  assert.deepEqual([world.socket.sent.length, client.state.status], [1, "open"]);
  await world.pass(1);
  assert.equal(client.state.status, "waiting");
});

test("an error without a close is an end too, and one with a close has its code", async () => {
  const world = new World();
  const client = await world.connect({ token: () => "t" });
  world.socket.onerror({});
  await world.pass(100);
  assert.equal(client.state.code, 1006);
  client.reconnect();
  await settled();
  world.socket.onerror({});
  world.socket.ends(1013);
  assert.equal(client.state.code, 1013);
});

test("what a dead connection still brings is not heard", async () => {
  const world = new World();
  const client = await world.open();
  const room = await joined(world, client, "a");
  const dead = world.socket;
  dead.ends();
  dead.says({ type: "message", room: "a", payload: "late" });
  dead.ends(4001);
  await world.pass(1000);
  world.socket.welcomes();
  dead.says({ type: "message", room: "a", payload: "later" });
  assert.deepEqual(room.heard, []);
  assert.equal(client.state.status, "open");
});

test("requests are matched to their answers, whatever the order", async () => {
  const world = new World();
  const client = await world.open({ pingIntervalMs: Infinity, stableAfterMs: 0 });
  await world.pass(0);
  const answers = [client.publish("a", 1), client.publish("a", undefined, { event: "e" }), client.publish("a", 3)];
  await settled();
  assert.deepEqual(world.socket.sent, [
    { type: "broadcast", room: "a", payload: 1, id: 1 },
    { type: "broadcast", room: "a", event: "e", payload: null, id: 2 },
    { type: "broadcast", room: "a", payload: 3, id: 3 },
  ]);
  world.socket.says({ type: "ack", id: 3 });
  world.socket.says({ type: "error", id: 2, code: "forbidden", message: "no rule" });
  world.socket.says({ type: "ack", id: 1, position: at(5) });
  await assert.rejects(answers[1], { name: "VestibuleError", code: "forbidden", message: "no rule" });
  assert.deepEqual([await answers[0], await answers[2]], [{ position: at(5) }, {}]);
  assert.equal(world.runningTimers, 0);
});

test("a request that is not answered in time is rejected, and its late answer still counts", async () => {
  const world = new World();
  const client = await world.open();
  const room = await joined(world, client, "a", { position: at(4) });
  const publishing = assert.rejects(room.publish("mine", { timeoutMs: 2000 }), { code: "timeout" });
  await world.pass(2000);
  await publishing;
  world.socket.answers("broadcast", { position: at(5) });
  world.socket.says({ type: "message", room: "a", payload: "mine", position: at(5) });
  assert.deepEqual(room.heard, []);
});

test("a payload that is no JSON is the caller's fault, and nothing is sent", async () => {
  const world = new World();
  const client = await world.open();
  await assert.rejects(client.publish("a", 1n), TypeError);
  assert.deepEqual(world.socket.sent, []);
});

test("what was sent and not answered is rejected when the connection ends, and not sent again", async () => {
  const world = new World();
  const client = await world.open();
  const publishing = assert.rejects(client.publish("a", 1), { code: "lost", closeCode: 1009 });
  await settled();
  world.socket.ends(1009);
  await publishing;
  await world.pass(1000);
  world.socket.welcomes();
  assert.deepEqual(world.socket.sent, []);
  assert.deepEqual(statuses(client), ["connecting", "open", "waiting", "connecting", "open"]);
});

test("what is said offline waits up to the limit, and goes out in order behind the joins", async () => {
  const world = new World();
  const client = await world.connect({ queueLimit: 2 });
  const joining = client.join("a");
  const first = client.publish("a", { n: 1 });
  const second = client.publish("b", 2);
  await assert.rejects(client.publish("a", 3), { code: "queue_full" });
  await assert.rejects(client.publish("a", 4, { queue: false }), { code: "offline" });
  await world.pass(5000);
  world.socket.welcomes();
  assert.deepEqual(world.socket.sent.map(({ type, payload }) => [type, payload]), [["join", undefined], ["broadcast", { n: 1 }], ["broadcast", 2]]);
  for (const { id } of world.socket.sent) world.socket.says({ type: "ack", id });
  await Promise.all([joining, first, second]);
});

test("a new connection is given what waited little by little, in order, and what comes meanwhile behind it", async () => {
  const world = new World();
  const client = await world.connect({ pingIntervalMs: Infinity });
  void client.join("a");
  for (let n = 0; n < 100; n += 1) void client.publish("a", n);
  await settled();
  world.socket.welcomes();
  assert.equal(world.socket.sent.length, 50);
  void client.publish("a", 100);
  void client.publish("a", "now", { queue: false });
  await world.pass(499);
  assert.equal(world.socket.sent.length, 51);
  await world.pass(1);
  assert.equal(world.socket.sent.length, 71);
  await world.pass(5000);
  void client.publish("a", 101);
  await settled();
  const said = world.socket.sent.map(({ payload }) => payload).filter((payload) => typeof payload === "number");
  assert.deepEqual(said, Array.from({ length: 102 }, (_, n) => n));
});

test("what a connection had no time to send goes out on the next", async () => {
  const world = new World();
  const client = await world.connect({ resumeBurst: 2, resumePerSecond: 2, eventsUrl: false });
  const joining = [client.join("a"), client.join("b"), client.join("c")];
  void client.publish("a", 1);
  await settled();
  world.socket.welcomes();
  await world.pass(500);
  assert.equal(world.socket.sent.length, 3);
  world.socket.ends();
  await world.pass(1000);
  world.socket.welcomes();
  await world.pass(1000);
  assert.deepEqual(world.socket.sent.map(({ type, room }) => `${type} ${room}`), ["join a", "join b", "join c", "broadcast a"]);
  for (const { id } of world.socket.sent) world.socket.says({ type: "ack", id });
  await Promise.all(joining);
});

test("what was queued is as it was when it was published", async () => {
  const world = new World();
  const client = await world.connect();
  const payload = { n: 1 };
  void client.publish("a", payload);
  payload.n = 2;
  await settled();
  world.socket.welcomes();
  assert.deepEqual(world.socket.sent[0].payload, { n: 1 });
});

test("closing rejects what waits, and nothing follows", async () => {
  const world = new World();
  const client = await world.open();
  const room = await joined(world, client, "a");
  const waiting = [client.join("b"), room.publish(1), client.ping()].map((promise) => assert.rejects(promise, { code: "closed" }));
  await settled();
  client.close();
  client.close();
  await Promise.all(waiting);
  assert.deepEqual(room.heard, ["close: undefined"]);
  assert.equal(world.socket.closedWith, 1000);
  assert.deepEqual(client.states.at(-1), { status: "closed" });
  await assert.rejects(room.publish(1), { code: "closed" });
  await world.pass(1_000_000);
  assert.equal(world.sockets.length, 1);
  assert.deepEqual([world.runningTimers, world.listenersOfReturn], [0, 0]);
});

test("a client that is closed while it is told of its end stays closed", async () => {
  const world = new World();
  const client = await world.open();
  const room = client.join("a");
  room.catch(() => {});
  client.on("state", ({ status }) => { if (status === "waiting") client.close(); });
  world.socket.ends();
  await world.pass(60_000);
  assert.equal(client.state.status, "closed");
  assert.equal(world.sockets.length, 1);
});

test("reconnect ends a wait", async () => {
  const world = new World();
  const client = await world.open({ pingIntervalMs: Infinity });
  world.socket.ends(4029);
  client.reconnect();
  client.reconnect();
  await settled();
  assert.equal(world.sockets.length, 2);
  world.socket.welcomes();
  client.reconnect();
  await world.pass(120_000);
  assert.equal(world.sockets.length, 2);
});

test("the token is replaced on the open connection before it ends", async () => {
  const world = new World();
  let minted = 0;
  const client = await world.open({
    token: () => jwt({ exp: world.now() / 1000 + 600, n: ++minted }),
    pingIntervalMs: Infinity,
  });
  await world.pass(569_999);
  assert.deepEqual(world.socket.sent, []);
  await world.pass(1);
  const { token } = world.socket.answers("refresh");
  assert.equal(JSON.parse(atob(token.split(".")[1])).n, 2);
  await world.pass(570_000);
  assert.equal(world.socket.sent.length, 2, "and so on");
  world.socket.says({ type: "error", id: world.socket.sent[1].id, code: "unauthorized", message: "" });
  await world.pass(1_000_000);
  assert.equal(world.socket.sent.length, 2);
  assert.equal(client.state.status, "open", "the server says when it is over");
});

test("a token that is always the same is not asked for without end", async () => {
  const world = new World();
  let asked = 0;
  const token = jwt({ exp: world.now() / 1000 + 8 });
  await world.open({ token: () => { asked += 1; return token; }, pingIntervalMs: Infinity });
  for (let s = 0; s < 20; s += 1) {
    await world.pass(1000);
    if (world.socket.sent.length === asked - 1 && asked > 1) world.socket.answers("refresh");
  }
  assert.ok(asked <= 8, `${asked} times`);
});

test("what is no message of the protocol is passed over", async () => {
  const world = new World();
  const client = await world.open();
  for (const data of ["", "no JSON", "null", "7", '"ack"', "[]", "{}", '{"type":"ack"}', '{"type":"message","room":7}', new ArrayBuffer(3)]) {
    world.socket.onmessage({ data });
  }
  assert.equal(client.state.status, "open");
});

test("a ping measures the way", async () => {
  const world = new World();
  const client = await world.open();
  const pinging = client.ping();
  await world.pass(42);
  world.socket.answers("ping");
  assert.equal(await pinging, 42);
});

test("an error that answers nothing is told to who listens", async () => {
  const world = new World();
  const client = await world.open();
  const errors = [];
  const stop = client.on("error", ({ code }) => errors.push(code));
  world.socket.says({ type: "error", code: "bad_message", message: "no" });
  stop();
  world.socket.says({ type: "error", code: "bad_message", message: "no" });
  world.socket.says({ type: "news from a newer server" });
  assert.deepEqual(errors, ["bad_message"]);
});

test("who is told when to come back by another close than a goodbye waits as long at least", async () => {
  const world = new World();
  const client = await world.connect({ retryMinMs: 100 });
  world.socket.ends(1013, "retry=2464");
  assert.equal(client.state.retryInMs, 2464);
  await world.pass(2464);
  world.socket.ends(1013);
  assert.ok(client.state.retryInMs <= 200, "without a hint it is the back-off");
});
