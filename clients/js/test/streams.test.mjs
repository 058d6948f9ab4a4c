// Streams in a world where the server is the test's: what each answer and each end of one comes to.
import assert from "node:assert/strict";
import { test } from "node:test";
import { World, listening, settled } from "./world.mjs";

const at = (offset, epoch = "0000000a") => `${epoch}-${offset}`;

/** A stream that the test writes, as the answer to this request. */
function stream({ init, resolve }) {
  let controller;
  const body = new ReadableStream({ start: (given) => { controller = given; } });
  const encoder = new TextEncoder();
  init.signal.addEventListener("abort", () => controller.error(init.signal.reason));
  resolve(new Response(body, { headers: { "content-type": "text/event-stream" } }));
  return {
    says: async (text) => {
      controller.enqueue(encoder.encode(text));
      await settled();
    },
    ends: async () => {
      controller.close();
      await settled();
    },
    breaks: async () => {
      controller.error(new TypeError("terminated"));
      await settled();
    },
  };
}

const refusal = (status, code = "", message = "no") => new Response(JSON.stringify({ error: { code, message } }), { status });
const CONNECTED = 'retry: 1500\nevent: connected\ndata: {"userId":"ada","connection":"s1"}\n\n';

/** A client whose WebSocket did not open, and whose request for a stream of these rooms waits for its answer. */
async function blocked(rooms, options = {}) {
  const world = new World();
  const client = await world.connect({ fallbackAfter: 1, token: () => "t", ...options });
  const joining = rooms.map((name) => client.join(name));
  for (const join of joining) join.catch(() => {});
  await settled();
  world.socket.ends();
  await world.pass(0);
  return { world, client, joining };
}

/** The same, and the stream is there. */
async function streaming(rooms, options) {
  const { world, client, joining } = await blocked(rooms, options);
  const open = stream(world.requests.at(-1));
  await settled();
  await open.says(CONNECTED);
  for (const [index] of rooms.entries()) await open.says(`id: ${rooms.map((_, n) => (n <= index ? at(0) : "")).join(",")}\n\n`);
  const joined = (await Promise.all(joining)).map(listening);
  await settled();
  return { world, client, rooms: joined, stream: open };
}

/** The next attempt: its WebSocket does not open either, and its request for a stream is there. */
async function again(world) {
  await world.pass(60_000);
  world.socket.ends();
  await world.pass(0);
  return world.requests.at(-1);
}

test("a stream is asked for with the token in a header, and its rooms in the query", async () => {
  const { world } = await blocked(["chat: 1", "b&c"]);
  const { url, init } = world.requests[0];
  assert.equal(url.href, "https://edge.example.com/events?room=chat%3A+1&room=b%26c");
  assert.deepEqual(init.headers, { accept: "text/event-stream", authorization: "Bearer t" });
  assert.equal(init.credentials, "same-origin");
});

test("without a token a cookie may tell who it is", async () => {
  const { world } = await blocked(["a"], { token: undefined });
  assert.equal(world.requests[0].init.credentials, "include");
});

test("rooms are joined as their homes answer, and not when the stream begins", async () => {
  const { world, client, joining } = await blocked(["a", "b"]);
  const queued = assert.rejects(client.publish("a", 1), { code: "receive_only" });
  const { says } = stream(world.requests[0]);
  await settled();
  await says(CONNECTED);
  assert.deepEqual(client.state, { status: "open", transport: "sse", userId: "ada", connection: "s1" });
  await queued;
  const joined = [];
  for (const join of joining) void join.then(({ name }) => joined.push(name));
  await settled();
  assert.deepEqual(joined, []);
  await says(`id: ,${at(4)}\n\n`);
  assert.deepEqual(joined, ["b"]);
  await says(`room: a\nevent: e\ndata: 1\nid: ${at(1)},${at(4)}\n\n`);
  assert.deepEqual(joined, ["b", "a"]);
});

test("a stream that breaks is opened anew with the positions of all its rooms", async () => {
  const { world, rooms, stream: { says, breaks } } = await streaming(["a", "b"]);
  await says(`room: b\ndata: 1\nid: ${at(0)},${at(1)}\n\n`);
  await breaks();
  const request = await again(world);
  assert.equal(request.init.headers["last-event-id"], `${at(0)},${at(1)}`);
  const next = stream(request);
  await settled();
  await next.says(`${CONNECTED}id: ${at(0)},${at(1)}\n\n`);
  assert.deepEqual(rooms.map(({ status }) => status), ["joining", "joining"], "which of them that was is not known");
  await next.says(`event: gap\nid: ${at(9)},${at(1)}\ndata: {"room":"a","position":"${at(9)}"}\n\n`);
  assert.deepEqual(rooms.map(({ status }) => status), ["joined", "joined"]);
  await next.says(`event: gap\nid: ${at(9)},${at(7)}\ndata: {"room":"b","position":"${at(7)}"}\n\n`);
  assert.deepEqual(rooms.map(({ heard }) => heard), [["gap: not_recovered"], [1, "gap: skipped"]]);
});

test("an end in order is followed by the wait that was asked for at the end, and by no other", async () => {
  for (const [said, expected] of [["retry: 7000\n\n", [1001, 7000]], ["", [1006, 500]]]) {
    const { client, stream: { says, ends } } = await streaming(["a"]);
    await says(said);
    await ends();
    assert.deepEqual([client.state.code, client.state.retryInMs], expected);
  }
});

test("a goodbye means what a close means", async () => {
  const kicked = await streaming(["a"]);
  await kicked.stream.says('event: close\nid: close-4003\ndata: {"code":4003,"reason":"out"}\n\n');
  assert.deepEqual([kicked.client.state.error.code, kicked.client.state.error.message], ["forbidden", "out"]);
  assert.deepEqual(kicked.rooms[0].heard, ["close: forbidden"]);
  const expired = await streaming(["a"]);
  await expired.stream.says('event: close\ndata: {"code":4010,"reason":"Token expired"}\n\n');
  assert.equal(expired.client.state.code, 4010);
});

test("a stream that falls silent is dead, and a heartbeat is a sign of life", async () => {
  const { world, client, stream: { says } } = await streaming(["a"], { upgradeIntervalMs: Infinity });
  await world.pass(70_000);
  await says(":heartbeat\n\n");
  await world.pass(74_999);
  assert.equal(client.state.status, "open");
  await world.pass(1);
  assert.deepEqual([client.state.status, client.state.reason], ["waiting", "the stream fell silent"]);
});

test("each refusal of a stream comes to what it should", async () => {
  for (const [response, expected] of [
    [refusal(401, "unauthorized"), { status: "closed", code: "unauthorized" }],
    [refusal(401, "unauthorized", "the token has expired"), { status: "waiting", code: 4010 }],
    [refusal(403, "origin"), { status: "closed", code: "forbidden" }],
    [refusal(429), { status: "waiting", code: 1013 }],
    [refusal(503), { status: "waiting", code: 1013 }],
    [refusal(404), { status: "waiting", code: 1006 }],
    [new Response("<!doctype html>", { headers: { "content-type": "text/html" } }), { status: "waiting", code: 1006 }],
  ]) {
    const { world, client } = await blocked(["a"]);
    world.requests[0].resolve(response);
    await settled();
    const { status, code, error } = client.state;
    assert.deepEqual({ status, code: code ?? error.code }, expected);
  }
});

test("a token that ends while a stream is opened anew is an ended one", async () => {
  const { world, client } = await streaming(["a"]);
  void client.join("b").catch(() => {});
  await world.pass(0);
  world.requests.at(-1).resolve(refusal(401, "unauthorized"));
  await settled();
  assert.equal(client.state.code, 4010);
});

test("of rooms that cannot all be had the latest goes, until they can", async () => {
  const { world, joining } = await blocked(["a", "b"]);
  world.requests[0].resolve(refusal(400, "rooms", "more rooms than limits.rooms_per_connection"));
  await settled();
  for (const request of world.requests.slice(1)) {
    assert.equal(request.init.method, "HEAD");
    request.resolve(new Response(null));
  }
  await assert.rejects(joining[1], { code: "too_many_rooms" });
  await world.pass(0);
  assert.equal(world.requests.at(-1).url.search, "?room=a");
});

test("where no room can be heard it waits, and tries the WebSocket again", async () => {
  const { world, client, joining } = await blocked(["a"]);
  world.requests[0].resolve(refusal(403, "forbidden"));
  await assert.rejects(joining[0], { code: "forbidden" });
  await world.pass(0);
  assert.equal(client.state.status, "waiting");
  await world.pass(1000);
  assert.equal(world.sockets.length, 2);
});

test("a token that the WebSocket cannot carry is no end of the stream", async () => {
  let minted = 0;
  const { world, client } = await streaming(["a"], { token: () => `t${++minted}`, upgradeIntervalMs: 1000 });
  const real = world.WebSocket;
  world.WebSocket = class { constructor() { throw new SyntaxError("no subprotocol"); } };
  await world.pass(1000);
  world.WebSocket = real;
  await world.pass(1000);
  world.socket.welcomes();
  assert.equal(client.state.transport, "websocket");
});

test("rooms of one moment are one change, and what one is opened for is not asked for twice", async () => {
  const { world, client, rooms, stream: first } = await streaming(["a"]);
  void client.join("b");
  void client.join("c");
  await settled();
  await world.pass(0);
  assert.deepEqual(world.requests.map(({ url }) => url.search), ["?room=a", "?room=a&room=b&room=c"]);
  assert.equal(world.requests[1].init.headers["last-event-id"], `${at(0)},,`);
  // What the earlier stream still brings is not heard.
  await first.says(`data: 1\nid: ${at(1)}\n\n`).catch(() => {});
  assert.deepEqual(rooms[0].heard, []);
});

test("a WebSocket that opens behind a stream takes over, from where that was", async () => {
  const { world, client, rooms, stream: { says } } = await streaming(["a"], { streamTimeoutMs: Infinity });
  await says(`data: 1\nid: ${at(1)}\n\n`);
  await world.pass(60_000);
  world.socket.ends();
  await world.pass(59_999);
  assert.equal(world.sockets.length, 2, "and is tried only now and then");
  await world.pass(1);
  assert.equal(client.state.transport, "sse");
  world.socket.welcomes();
  assert.equal(client.state.transport, "websocket");
  assert.equal(world.socket.answers("join", { position: at(1), recovered: true }).since, at(1));
  world.socket.says({ type: "message", room: "a", payload: 2, position: at(2) });
  assert.ok(world.requests[0].init.signal.aborted);
  assert.deepEqual(rooms[0].heard, [1, 2]);
  world.socket.ends();
  assert.equal(client.state.status, "waiting");
});

test("without rooms there is nothing to hear, and the first one ends the wait", async () => {
  const world = new World();
  const client = await world.connect({ fallbackAfter: 1 });
  world.socket.ends();
  assert.equal(client.state.status, "waiting");
  world.chance = 0.01;
  void client.join("a");
  await world.pass(10);
  assert.equal(world.sockets.length, 2);
  world.socket.ends();
  await world.pass(0);
  assert.equal(world.requests.length, 1);
});

test("closing ends the streams", async () => {
  const { world, client } = await streaming(["a"]);
  client.close();
  assert.ok(world.requests[0].init.signal.aborted);
  await world.pass(1_000_000);
  assert.deepEqual([world.requests.length, world.runningTimers], [1, 0]);
});
