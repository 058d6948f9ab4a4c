// Rooms in a world where the server is the test's: joining again, recovering, gaps, and who hears what.
import assert from "node:assert/strict";
import { test } from "node:test";
import { World, joined, listening, settled } from "./world.mjs";

const at = (offset, epoch = "0000000a") => `${epoch}-${offset}`;
const says = (world, room, payload, position, event) => world.socket.says({ type: "message", room, event, payload, position });

/** The connection ends, and another one is there. */
async function again(world, code) {
  world.socket.ends(code);
  await world.pass(1000);
  world.socket.welcomes("c2");
}

test("joining resolves with the server's ack, and not before", async () => {
  const world = new World();
  const client = await world.connect();
  let room;
  void client.join("a").then((joined) => { room = joined; });
  await settled();
  world.socket.welcomes();
  assert.deepEqual(world.socket.sent, [{ type: "join", room: "a", id: 1 }]);
  await settled();
  assert.equal(room, undefined);
  world.socket.answers("join", { position: at(3) });
  await settled();
  assert.deepEqual([room.name, room.status, room.position], ["a", "joined", undefined]);
});

test("a room is one, however often it is joined", async () => {
  const world = new World();
  const client = await world.open();
  const rooms = [client.join("a"), client.join("a")];
  await settled();
  world.socket.answers("join");
  assert.equal(await rooms[0], await rooms[1]);
  assert.equal(await client.join("a"), await rooms[0]);
  assert.equal(world.socket.sent.length, 1);
});

test("a refused join is rejected, and forgotten", async () => {
  const world = new World();
  const client = await world.open();
  const joining = assert.rejects(client.join("a"), { code: "forbidden", message: "no rule" });
  await settled();
  world.socket.says({ type: "error", id: 1, code: "forbidden", message: "no rule" });
  await joining;
  await again(world);
  assert.deepEqual(world.socket.sent, []);
});

test("the application's silence ends no room that one was in: it is asked again, and its no ends it", async () => {
  const world = new World();
  const client = await world.open({ retryMinMs: 100, retryMaxMs: 100 });
  const room = await joined(world, client, "a");
  await again(world);
  const silence = () => world.socket.says({ type: "error", id: world.socket.sent.at(-1).id, code: "hook_timeout", message: "no answer" });
  silence();
  await settled();
  assert.deepEqual([room.status, world.socket.sent.length], ["joining", 1]);
  await world.pass(150);
  silence();
  await world.pass(150);
  assert.equal(world.socket.sent.length, 3);
  world.socket.answers("join");
  await settled();
  assert.equal(room.status, "joined");
  await again(world);
  world.socket.says({ type: "error", id: world.socket.sent.at(-1).id, code: "hook_refused", message: "full" });
  await settled();
  assert.deepEqual([room.status, room.heard], ["left", ["gap: no_history", "close: hook_refused"]]);
});

test("a first join that the application is silent about is rejected", async () => {
  const world = new World();
  const client = await world.open();
  const joining = assert.rejects(client.join("a"), { code: "hook_timeout" });
  await settled();
  world.socket.says({ type: "error", id: 1, code: "hook_timeout", message: "no answer" });
  await joining;
});

test("what is sent to the application resolves to its reply, waits for a connection, and is rejected with its no", async () => {
  const world = new World();
  const client = await world.connect();
  const replies = [client.send("save", { n: 1 }), client.send("save"), client.send("save", 3)];
  await settled();
  world.socket.welcomes();
  assert.deepEqual(world.socket.sent.map(({ type, event, payload }) => [type, event, payload]), [
    ["event", "save", { n: 1 }], ["event", "save", null], ["event", "save", 3],
  ]);
  world.socket.says({ type: "ack", id: 1, reply: { saved: 1 } });
  world.socket.says({ type: "ack", id: 2 });
  world.socket.says({ type: "error", id: 3, code: "hook_refused", message: "no more" });
  assert.deepEqual(await replies[0], { saved: 1 });
  assert.equal(await replies[1], undefined);
  await assert.rejects(replies[2], { code: "hook_refused", message: "no more" });
  world.socket.ends();
  await assert.rejects(client.send("save", 4, { queue: false }), { code: "offline" });
});

test("what comes in the same breath as the ack is heard by whoever listens later", async () => {
  const world = new World();
  const client = await world.open();
  const joining = client.join("a", { since: at(1) });
  await settled();
  world.socket.answers("join", { position: at(1), recovered: true });
  says(world, "a", "missed", at(2));
  const room = await joining;
  await settled();
  says(world, "a", "live", at(3));
  assert.equal(room.position, undefined, "nothing was handed on yet");
  const opened = [];
  room.on("open", (told) => opened.push(told));
  listening(room);
  await settled();
  assert.deepEqual(room.heard, ["missed", "live"]);
  assert.deepEqual(opened, [{ again: false, position: at(1), recovered: true }]);
  assert.equal(room.position, at(3));
});

test("what waits for a first listener is bounded, and what is lost of it is told", async () => {
  const world = new World();
  const client = await world.open();
  const joining = client.join("a");
  await settled();
  world.socket.answers("join", { position: at(0) });
  for (let offset = 1; offset <= 1500; offset += 1) says(world, "a", offset, at(offset));
  const room = listening(await joining);
  await settled();
  assert.equal(room.heard[0], "gap: unheard");
  assert.ok(room.heard.length < 1000);
  assert.equal(room.heard.at(-1), 1500);
});

test("a publication is heard by its name, and everything by a star", async () => {
  const world = new World();
  const client = await world.open();
  const room = await joined(world, client, "a");
  const heard = [];
  room.on("message", (payload, meta) => heard.push(["message", payload, meta]));
  const stop = room.on("typing", (payload, meta) => heard.push(["typing", payload, meta]));
  await settled();
  says(world, "a", 1);
  says(world, "a", 2, at(7), "typing");
  stop();
  says(world, "a", 3, at(8), "typing");
  says(world, "b", 4);
  assert.deepEqual(heard, [
    ["message", 1, { room: "a" }],
    ["typing", 2, { room: "a", event: "typing", position: at(7) }],
  ]);
  assert.deepEqual(room.heard, [1, ["typing", 2], ["typing", 3]]);
});

test("a listener that throws keeps nothing from the others, and is reported", async (t) => {
  const world = new World();
  const client = await world.open();
  const room = await joined(world, client, "a");
  room.on("message", () => { throw new Error("mine"); });
  const heard = [];
  room.on("message", (payload) => heard.push(payload));
  await settled();
  const reported = t.mock.method(globalThis, "queueMicrotask", () => {});
  says(world, "a", 1);
  assert.deepEqual(heard, [1]);
  assert.throws(reported.mock.calls[0].arguments[0], { message: "mine" });
});

test("rooms are joined again from where they were, and every message is heard once", async () => {
  const world = new World();
  const client = await world.open();
  const room = await joined(world, client, "a", { position: at(3) });
  says(world, "a", "four", at(4));
  await again(world);
  assert.equal(room.status, "joining");
  assert.equal(world.socket.answers("join", { position: at(4), recovered: true }).since, at(4));
  assert.equal(room.status, "joined");
  says(world, "a", "four", at(4));
  says(world, "a", "five", at(5));
  says(world, "a", "six", at(6));
  says(world, "a", "six", at(6));
  assert.deepEqual(room.heard, ["four", "five", "six"]);
});

test("a connection that ends in the middle of a replay goes on where it ended", async () => {
  const world = new World();
  const client = await world.open();
  const room = await joined(world, client, "a", { position: at(1), recovered: true }, { since: at(1) });
  says(world, "a", "two", at(2));
  await again(world);
  assert.equal(world.socket.answers("join", { position: at(2), recovered: true }).since, at(2));
  says(world, "a", "three", at(3));
  assert.deepEqual(room.heard, ["two", "three"]);
});

test("a join that was not answered is asked again, with the same place", async () => {
  for (const since of [at(9), "earliest"]) {
    const world = new World();
    const client = await world.open();
    const joining = client.join("a", { since });
    await settled();
    await again(world);
    assert.equal(world.socket.answers("join", { position: at(5), recovered: true }).since, since);
    assert.equal((await joining).status, "joined");
  }
});

test("a join that the server would not even read is not sent twice", async () => {
  const world = new World();
  const client = await world.open();
  const kept = await joined(world, client, "kept");
  const joining = assert.rejects(client.join("x".repeat(70_000)), { code: "lost", closeCode: 1009 });
  await settled();
  await again(world, 1009);
  await joining;
  assert.deepEqual(world.socket.sent.map(({ room }) => room), ["kept"]);
  assert.equal(kept.status, "joining");
});

test("what could not be recovered is told, with where one stands", async () => {
  const world = new World();
  const client = await world.open();
  const room = await joined(world, client, "a", { position: at(3) });
  const gaps = [];
  room.on("gap", (gap) => gaps.push(gap));
  await again(world);
  world.socket.answers("join", { position: at(1, "0000000b"), recovered: false });
  says(world, "a", "two", at(2, "0000000b"));
  assert.deepEqual(gaps, [{ reason: "not_recovered", position: at(1, "0000000b") }]);
  assert.deepEqual(room.heard, ["gap: not_recovered", "two"]);
});

test("a room without history tells that it was away", async () => {
  const world = new World();
  const client = await world.open();
  const room = await joined(world, client, "a");
  says(world, "a", 1);
  await again(world);
  assert.equal(world.socket.answers("join").since, undefined);
  says(world, "a", 2);
  assert.deepEqual(room.heard, [1, "gap: no_history", 2]);
});

test("a gap that the server tells is a place to go on from", async () => {
  const world = new World();
  const client = await world.open();
  const room = await joined(world, client, "a", { position: at(3) });
  world.socket.says({ type: "gap", room: "a", position: at(90) });
  says(world, "a", "late", at(50));
  says(world, "a", "next", at(91));
  assert.deepEqual(room.heard, ["gap: skipped", "next"]);
  await again(world);
  assert.equal(world.socket.answers("join", { position: at(91), recovered: true }).since, at(91));
});

test("own broadcasts that come back in a replay are not heard", async () => {
  const world = new World();
  const client = await world.open();
  const room = await joined(world, client, "a", { position: at(3) });
  const publishing = room.publish("mine");
  await settled();
  world.socket.answers("broadcast", { position: at(5) });
  assert.deepEqual(await publishing, { position: at(5) });
  await again(world);
  // What stands before it had not come yet, so it has to be asked for from there.
  assert.equal(world.socket.answers("join", { position: at(3), recovered: true }).since, at(3));
  for (const [payload, offset] of [["four", 4], ["mine", 5], ["six", 6]]) says(world, "a", payload, at(offset));
  assert.deepEqual(room.heard, ["four", "six"]);
});

test("a room that one may no longer be in is closed, and the others stay", async () => {
  const world = new World();
  const client = await world.open();
  const lost = await joined(world, client, "a");
  const kept = await joined(world, client, "b");
  await again(world);
  world.socket.says({ type: "error", id: world.socket.sent[0].id, code: "forbidden", message: "no rule" });
  world.socket.says({ type: "ack", id: world.socket.sent[1].id });
  assert.deepEqual(lost.heard, ["close: forbidden"]);
  assert.deepEqual([lost.status, kept.status], ["left", "joined"]);
});

test("a room that was left is not heard any more, and not joined again", async () => {
  const world = new World();
  const client = await world.open();
  const room = await joined(world, client, "a");
  const leaving = room.leave();
  says(world, "a", "late");
  assert.deepEqual(world.socket.answers("leave").room, "a");
  await leaving;
  await room.leave();
  assert.deepEqual(room.heard, ["close: undefined"]);
  await again(world);
  assert.deepEqual(world.socket.sent, []);
});

test("a room can be left offline, and while it is joined", async () => {
  const world = new World();
  const client = await world.open();
  const room = await joined(world, client, "a");
  world.socket.ends();
  await room.leave();
  const joining = assert.rejects(client.join("b"), { code: "closed" });
  await world.pass(1000);
  world.socket.welcomes();
  assert.deepEqual(world.socket.sent.map((message) => message.room), ["b"]);
  client.close();
  await joining;
});

test("a room that is left while it is joined again stays left", async () => {
  const world = new World();
  const client = await world.open();
  const room = await joined(world, client, "a");
  await again(world);
  const leaving = room.leave();
  world.socket.answers("join");
  world.socket.answers("leave");
  await leaving;
  assert.equal(room.status, "left");
  assert.deepEqual(room.heard, ["close: undefined"]);
});

test("a room that is left before its join could be sent is not joined", async () => {
  const world = new World();
  const client = await world.open({ resumeBurst: 1, resumePerSecond: 2 });
  const [, room] = [await joined(world, client, "a"), await joined(world, client, "b")];
  await again(world);
  await room.leave();
  await world.pass(1000);
  assert.deepEqual(world.socket.sent.map(({ type, room: name }) => `${type} ${name}`), ["join a"]);
  assert.equal(room.status, "left");
});

test("who joins a room when told of the connection joins it once", async () => {
  const world = new World();
  const client = await world.connect();
  client.on("state", ({ status }) => { if (status === "open") void client.join("a"); });
  world.socket.welcomes();
  await settled();
  assert.equal(world.socket.sent.length, 1);
});
