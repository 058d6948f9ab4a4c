// Rooms through npm's `ws`: who hears what, in which bytes, and what is refused.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Client } from "../client.mjs";
import { serve, token } from "../server.mjs";

let server;
before(async () => { server = await serve(); });
after(async () => { if (server) assert.deepEqual(await server.stop(), { code: 0, signal: null }, server.output); });

const enter = (user, claims) => Client.enter(server, token(user, claims));

async function join(client, room) {
  assert.deepEqual(await client.request({ type: "join", room, id: 1 }), { type: "ack", id: 1 });
}

/** Members on different shards, so that what one says has to cross cores. */
async function membersOnBothShards(room) {
  const first = await enter("ada");
  for (let tries = 0; tries < 50; tries++) {
    const second = await enter("bob");
    if (second.welcome.shard !== first.welcome.shard) {
      await join(first, room);
      await join(second, room);
      return [first, second];
    }
    await second.leave();
  }
  throw new Error(`50 connections all stand on shard ${first.welcome.shard}`);
}

const leaveAll = (...clients) => Promise.all(clients.map((client) => client.leave()));

test("a broadcast reaches the others, on another core too, and not its sender", async () => {
  const [ada, bob] = await membersOnBothShards("crossing");
  assert.deepEqual(await ada.request({ type: "broadcast", room: "crossing", payload: "from ada", id: "a" }), { type: "ack", id: "a" });
  assert.deepEqual(await bob.nextJson(), { type: "message", room: "crossing", payload: "from ada" });
  assert.deepEqual(await bob.request({ type: "broadcast", room: "crossing", payload: "from bob", id: "b" }), { type: "ack", id: "b" });
  // The first that ada hears is bob: her own did not come back.
  assert.deepEqual(await ada.nextJson(), { type: "message", room: "crossing", payload: "from bob" });
  await leaveAll(ada, bob);
});

test("a broadcast without an id gets no ack", async () => {
  const ada = await enter("ada");
  await join(ada, "silent");
  ada.send({ type: "broadcast", room: "silent", payload: 1 });
  assert.deepEqual(await ada.request({ type: "ping" }), { type: "pong" });
  await ada.leave();
});

test("an event's name travels with its message", async () => {
  const [ada, bob] = await membersOnBothShards("named");
  ada.send({ type: "broadcast", room: "named", event: "typing…", payload: null });
  assert.deepEqual(await bob.nextJson(), { type: "message", room: "named", event: "typing…", payload: null });
  await leaveAll(ada, bob);
});

const PAYLOADS = [
  ["white space", '{ "a" : 1.0,\t"b":[ ] ,\n "c" : {  } }'],
  ["letters beyond ASCII", '"Grüße, 世界, 🦀"'],
  ["escapes as they were written", '"\\u0041\\/\\ud83e\\udd80\\n\\\\"'],
  ["integers beyond 64 bits", "123456789012345678901234567890123456789"],
  ["integers that a double cannot hold", '{"id":9007199254740993,"max":18446744073709551615,"min":-9223372036854775808}'],
  ["numbers in odd spellings", "[-0,1E+2,1.10,0.1e-3]"],
  ["duplicate keys below the top", '{"x":1,"x":2,"type":"join","room":"other"}'],
  ["null", "null"],
  ["false", "false"],
  ["an empty string", '""'],
  ["deep nesting", `${"[".repeat(60)}${"]".repeat(60)}`],
  ["a long string", `"${"0123456789abcdef".repeat(3000)}"`],
];

for (const [what, payload] of PAYLOADS) {
  test(`a payload arrives byte for byte: ${what}`, async () => {
    const [ada, bob] = await membersOnBothShards("bytes");
    ada.send(`{"type":"broadcast","room":"bytes","payload":${payload},"id":7}`);
    assert.deepEqual(await ada.nextJson(), { type: "ack", id: 7 });
    const text = await bob.nextText();
    assert.ok(text.includes(`"payload":${payload}`), `it became ${text.slice(0, 300)}`);
    const { type, room } = JSON.parse(text);
    assert.deepEqual({ type, room }, { type: "message", room: "bytes" });
    await leaveAll(ada, bob);
  });
}

test("keys may stand in any order, between any white space, and unknown ones are passed over", async () => {
  const [ada, bob] = await membersOnBothShards("order");
  ada.send('\r\n{ "more" : [{"type":"leave"}] ,"payload":\t[1, 2] , "id" : "x" , "room" : "order" , "type" : "broadcast" } ');
  assert.deepEqual(await ada.nextJson(), { type: "ack", id: "x" });
  const text = await bob.nextText();
  assert.ok(text.includes('"payload":[1, 2]'), text);
  await leaveAll(ada, bob);
});

test("one who has left hears nothing more", async () => {
  const [ada, bob] = await membersOnBothShards("left");
  assert.deepEqual(await bob.request({ type: "leave", room: "left", id: 2 }), { type: "ack", id: 2 });
  assert.deepEqual(await ada.request({ type: "broadcast", room: "left", payload: "too late", id: 3 }), { type: "ack", id: 3 });
  await join(bob, "left");
  assert.deepEqual(await ada.request({ type: "broadcast", room: "left", payload: "in time", id: 4 }), { type: "ack", id: 4 });
  assert.equal((await bob.nextJson()).payload, "in time");
  await leaveAll(ada, bob);
});

test("one who has joined before the broadcast was sent hears it", async () => {
  const ada = await enter("ada");
  await join(ada, "prompt");
  for (let n = 0; n < 50; n++) {
    const late = await enter(`late-${n}`);
    await join(late, "prompt");
    ada.send({ type: "broadcast", room: "prompt", payload: n });
    assert.deepEqual(await late.nextJson(), { type: "message", room: "prompt", payload: n });
    await late.leave();
  }
  await ada.leave();
});

test("joining twice is one membership", async () => {
  const [ada, bob] = await membersOnBothShards("twice");
  await join(bob, "twice");
  ada.send({ type: "broadcast", room: "twice", payload: 1 });
  ada.send({ type: "broadcast", room: "twice", payload: 2 });
  assert.equal((await bob.nextJson()).payload, 1);
  assert.equal((await bob.nextJson()).payload, 2);
  await leaveAll(ada, bob);
});

test("all members see one order", async () => {
  const members = [...await membersOnBothShards("ordered"), await enter("cy"), await enter("di")];
  await join(members[2], "ordered");
  await join(members[3], "ordered");
  const each = 100;
  const speakers = [members[0], members[1]];
  const listeners = [members[2], members[3]];
  for (let n = 0; n < each; n++) speakers.forEach((speaker, s) => speaker.send({ type: "broadcast", room: "ordered", payload: [s, n] }));
  const heard = await Promise.all(listeners.map(async (listener) => {
    const seen = [];
    while (seen.length < each * speakers.length) seen.push((await listener.nextJson()).payload);
    return seen;
  }));
  assert.deepEqual(heard[0], heard[1]);
  speakers.forEach((_, s) => {
    assert.deepEqual(heard[0].filter(([from]) => from === s).map(([, n]) => n), [...Array(each).keys()]);
  });
  await Promise.all(members.map((member) => member.leave()));
});

test("twenty messages in one TCP segment are twenty acks in their order", async () => {
  const ada = await enter("ada");
  await join(ada, "burst");
  const wire = ada.socket._socket;
  wire.cork();
  for (let id = 100; id < 120; id++) ada.send({ type: "broadcast", room: "burst", payload: id, id });
  wire.uncork();
  for (let id = 100; id < 120; id++) assert.deepEqual(await ada.nextJson(), { type: "ack", id });
  await ada.leave();
});

const REFUSED = [
  ["text that is not JSON", "not json", undefined, "bad_message"],
  ["an array", "[]", undefined, "bad_message"],
  ["JSON cut short", '{"type":"join","room":"a"', undefined, "bad_message"],
  ["a request without a type", '{"room":"a","id":1}', 1, "bad_message"],
  ["a join without a room", '{"type":"join","id":2}', 2, "bad_message"],
  ["a room that is no string", '{"type":"join","room":7,"id":3}', 3, "bad_message"],
  ["a broadcast without a payload", '{"type":"broadcast","room":"a","id":4}', 4, "bad_message"],
  ["a type nobody knows", '{"type":"shout","room":"a","id":"five"}', "five", "unknown_type"],
  ["a room whose name is too long", `{"type":"join","room":"${"x".repeat(257)}","id":6}`, 6, "room_name"],
  ["a room that nobody may join", '{"type":"join","room":"secret:plans","id":7}', 7, "forbidden"],
  ["another user's room", '{"type":"join","room":"user:bob","id":8}', 8, "forbidden"],
  ["a room that the token does not list", '{"type":"join","room":"listed:c","id":9}', 9, "forbidden"],
  ["a broadcast where nobody may publish", '{"type":"broadcast","room":"quiet:hall","payload":1,"id":10}', 10, "forbidden"],
  ["a leave from a room not joined", '{"type":"leave","room":"elsewhere","id":11}', 11, "not_joined"],
  ["an event, since there is no hook", '{"type":"event","event":"buy","payload":1,"id":12}', 12, "no_hook"],
];

for (const [what, text, id, code] of REFUSED) {
  test(`${what} is answered with ${code}, and the connection stays`, async () => {
    const ada = await enter("ada", { rooms: ["listed:a"] });
    ada.send(text);
    const answer = await ada.nextJson();
    assert.equal(answer.type, "error", JSON.stringify(answer));
    assert.equal(answer.code, code, JSON.stringify(answer));
    if (id !== undefined) assert.deepEqual(answer.id, id);
    assert.equal(typeof answer.message, "string");
    assert.deepEqual(await ada.request({ type: "ping" }), { type: "pong" });
    await ada.leave();
  });
}

for (const text of ['{"type":"join","room":"a","room":"b","id":1}', '{"type":"join","\\u0072oom":"a","id":1}']) {
  test(`a duplicate or escaped key at the top is a bad_message: ${text}`, async () => {
    const ada = await enter("ada");
    const answer = await ada.request(text);
    assert.deepEqual([answer.type, answer.code], ["error", "bad_message"]);
    await ada.leave();
  });
}

test("rooms that the rules give are joined: one's own, and one that the token lists", async () => {
  const ada = await enter("ada", { rooms: ["listed:a", "listed:more-*"] });
  for (const room of ["user:ada", "listed:a", "listed:more-of-it"]) await join(ada, room);
  await ada.leave();
});

test("the room too many is refused, and leaving one makes place", async () => {
  const ada = await enter("ada");
  for (let n = 0; n < 5; n++) await join(ada, `room-${n}`);
  const refused = await ada.request({ type: "join", room: "room-5", id: 6 });
  assert.deepEqual([refused.type, refused.code, refused.id], ["error", "too_many_rooms", 6]);
  assert.deepEqual(await ada.request({ type: "leave", room: "room-0", id: 7 }), { type: "ack", id: 7 });
  await join(ada, "room-5");
  await ada.leave();
});

test("a broadcast needs the rule's leave, not membership", async () => {
  const [ada, bob] = await membersOnBothShards("hall");
  assert.deepEqual(await ada.request({ type: "leave", room: "hall", id: 1 }), { type: "ack", id: 1 });
  ada.send({ type: "broadcast", room: "hall", payload: "from outside" });
  assert.equal((await bob.nextJson()).payload, "from outside");
  await leaveAll(ada, bob);
});
