// WebSocket itself through npm's `ws`: fragments, control frames, sizes,
// extensions, the echo path, and what a stop says to those who are there.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { connect } from "node:net";
import { after, before, test } from "node:test";
import { Client, within } from "../client.mjs";
import { serve, token } from "../server.mjs";

let server;
before(async () => { server = await serve(); });
after(async () => { if (server) assert.deepEqual(await server.stop(), { code: 0, signal: null }, server.output); });

const enter = (user) => Client.enter(server, token(user));
const echo = () => Client.open(`ws://${server.host}/echo`);

test("permessage-deflate is offered and declined", async () => {
  const client = await Client.open(`ws://${server.host}/ws?token=${token("ada")}`, { perMessageDeflate: true });
  assert.equal(client.socket.extensions, "");
  assert.equal((await client.nextJson()).type, "connected");
  await client.leave();
});

test("a message in fragments is one message, cut inside a character and with a ping between", async () => {
  const ada = await enter("ada");
  const bob = await enter("bob");
  for (const client of [ada, bob]) assert.equal((await client.request({ type: "join", room: "pieces", id: 1 })).type, "ack");
  const whole = Buffer.from('{"type":"broadcast","room":"pieces","payload":"🦀 in pieces"}');
  const inside = whole.indexOf("🦀") + 2;
  const answered = within(new Promise((resolve) => { ada.socket.once("pong", resolve); }), "the pong");
  ada.socket.send(whole.subarray(0, inside), { fin: false, binary: false });
  ada.socket.ping("between");
  ada.socket.send(whole.subarray(inside, inside + 1), { fin: false });
  ada.socket.send(Buffer.alloc(0), { fin: false });
  ada.socket.send(whole.subarray(inside + 1), { fin: true });
  assert.equal((await answered).toString(), "between");
  assert.deepEqual(await bob.nextJson(), { type: "message", room: "pieces", payload: "🦀 in pieces" });
  await Promise.all([ada.leave(), bob.leave()]);
});

test("a ping is answered with its own bytes", async () => {
  const client = await enter("ada");
  const sent = randomBytes(125);
  const answered = within(new Promise((resolve) => { client.socket.once("pong", resolve); }), "the pong");
  client.socket.ping(sent);
  assert.deepEqual(await answered, sent);
  await client.leave();
});

test("the application's ping is answered with a pong", async () => {
  const client = await enter("ada");
  assert.deepEqual(await client.request({ type: "ping" }), { type: "pong" });
  await client.leave();
});

test("a binary message is closed with 1003", async () => {
  const client = await enter("ada");
  client.socket.send(Buffer.from('{"type":"ping"}'), { binary: true });
  assert.equal((await client.nextClose()).code, 1003);
});

test("a message of 64 KiB is taken, one byte more is closed with 1009", async () => {
  const fits = await echo();
  fits.send("x".repeat(65_536));
  assert.equal((await fits.nextText()).length, 65_536);
  await fits.leave();
  const exceeds = await echo();
  exceeds.send("x".repeat(65_537));
  assert.equal((await exceeds.nextClose()).code, 1009);
});

test("text that is not UTF-8 is closed with 1007", async () => {
  const client = await enter("ada");
  client.socket.send(Buffer.from([0x7b, 0xc3, 0x28, 0x7d]), { binary: false });
  assert.equal((await client.nextClose()).code, 1007);
});

test("a close is answered with its own code", async () => {
  const client = await enter("ada");
  client.socket.close(4321, "done");
  assert.equal((await client.nextClose()).code, 4321);
});

test("the echo path needs no token and returns text as text and bytes as bytes", async () => {
  const client = await echo();
  const bytes = randomBytes(10_000);
  client.socket.send(bytes);
  client.socket.send("Grüße 🦀");
  client.socket.send("");
  assert.deepEqual(await client.next(), { data: bytes, isBinary: true });
  assert.deepEqual(await client.next(), { data: Buffer.from("Grüße 🦀"), isBinary: false });
  assert.deepEqual(await client.next(), { data: Buffer.alloc(0), isBinary: false });
  await client.leave();
});

test("a thousand echoes at once come back in their order", async () => {
  const client = await echo();
  for (let n = 0; n < 1000; n++) client.send(`message ${n}`);
  for (let n = 0; n < 1000; n++) assert.equal(await client.nextText(), `message ${n}`);
  await client.leave();
});

test("frames in the same segment as the request's head are not lost", async () => {
  const bearer = token("ada");
  const ping = maskedText('{"type":"ping"}');
  const head = [
    `GET /ws?token=${bearer} HTTP/1.1`,
    `Host: ${server.host}`,
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version: 13",
    "",
    "",
  ].join("\r\n");
  const socket = connect(server.port, "127.0.0.1");
  socket.write(Buffer.concat([Buffer.from(head), ...Array(20).fill(ping)]));
  const pong = '\x81\x0f{"type":"pong"}';
  let received = "";
  await within(new Promise((resolve, reject) => {
    socket.on("error", reject);
    socket.on("close", () => reject(new Error(`closed after ${received}`)));
    socket.on("data", (bytes) => {
      received += bytes.toString("latin1");
      if (received.split(pong).length === 21) resolve();
    });
  }), "twenty pongs").finally(() => socket.destroy());
  assert.match(received, /^HTTP\/1\.1 101 /);
  assert.match(received, /\r\nsec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK\+xOo=\r\n/i);
  const [, first] = received.split("\r\n\r\n");
  assert.ok(first.slice(2).startsWith('{"type":"connected"'), first.slice(0, 80));
});

test("a stopping server closes its members with 1001 and a hint, and exits with 0", async () => {
  const stopping = await serve();
  const members = await Promise.all(["ada", "bob", "cy"].map((user) => Client.enter(stopping, token(user))));
  const gone = stopping.stop();
  for (const member of members) {
    const { code, reason } = await member.nextClose();
    assert.equal(code, 1001);
    assert.match(reason, /^retry=\d+$/);
  }
  assert.deepEqual(await gone, { code: 0, signal: null }, stopping.output);
});

/** One text frame as a client sends it. */
function maskedText(text) {
  const payload = Buffer.from(text);
  const mask = randomBytes(4);
  const masked = payload.map((byte, at) => byte ^ mask[at % 4]);
  return Buffer.concat([Buffer.from([0x81, 0x80 | payload.length]), mask, masked]);
}
