// Who gets in: the token's places, the two ways of refusing, the origin.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import WebSocket from "ws";
import { Client, within } from "../client.mjs";
import { serve, token } from "../server.mjs";

let closing;
let answering;

before(async () => {
  closing = await serve({ refuse: "close-4001" });
  answering = await serve({ refuse: "http-401" });
});

after(async () => {
  for (const server of [closing, answering]) {
    if (server) assert.deepEqual(await server.stop(), { code: 0, signal: null }, server.output);
  }
});

/** The status of a handshake that is refused with HTTP, and the type of its body. */
function refusal(url, options = {}) {
  const socket = new WebSocket(url, options);
  socket.on("error", () => {});
  return within(new Promise((resolve, reject) => {
    socket.once("open", () => reject(new Error("the handshake was let through")));
    socket.once("unexpected-response", (request, response) => {
      response.resume();
      response.once("end", () => resolve({ status: response.statusCode, type: response.headers["content-type"] }));
    });
  }), "the refusal");
}

async function closeOf(url, options) {
  const client = await Client.open(url, options);
  return client.nextClose();
}

test("a token in the query gets in, and the first message says who one is", async () => {
  const client = await Client.enter(closing, token("ada"));
  assert.equal(client.welcome.type, "connected");
  assert.equal(client.welcome.userId, "ada");
  assert.equal(typeof client.welcome.connection, "string");
  assert.ok([0, 1].includes(client.welcome.shard), `shard ${client.welcome.shard}`);
  await client.leave();
});

test("a bearer token in the Authorization header gets in", async () => {
  const client = await Client.open(`ws://${closing.host}/ws`, { headers: { authorization: `Bearer ${token("grace")}` } });
  assert.equal((await client.nextJson()).userId, "grace");
  await client.leave();
});

test("two connections have two names", async () => {
  const one = await Client.enter(closing, token("ada"));
  const two = await Client.enter(closing, token("ada"));
  assert.notEqual(one.welcome.connection, two.welcome.connection);
  await Promise.all([one.leave(), two.leave()]);
});

test("without a token the upgrade completes and is closed with 4001 Unauthorized", async () => {
  assert.deepEqual(await closeOf(`ws://${closing.host}/ws`), { code: 4001, reason: "Unauthorized" });
});

test("a token of another key is closed with 4001 Unauthorized", async () => {
  const forged = token("ada", { secret: "another key, of more than 32 bytes too" });
  assert.deepEqual(await closeOf(`ws://${closing.host}/ws?token=${forged}`), { code: 4001, reason: "Unauthorized" });
});

test("a token that has expired is closed with 4010", async () => {
  const late = token("ada", { expiresIn: -3600 });
  assert.equal((await closeOf(`ws://${closing.host}/ws?token=${late}`)).code, 4010);
});

test("with http-401 a missing token is refused before the upgrade", async () => {
  const { status, type } = await refusal(`ws://${answering.host}/ws`);
  assert.equal(status, 401);
  assert.match(type, /^application\/json/);
});

test("with http-401 a good token still gets in", async () => {
  const client = await Client.enter(answering, token("ada"));
  assert.equal(client.welcome.userId, "ada");
  await client.leave();
});

test("a listed origin gets in", async () => {
  const client = await Client.enter(closing, token("ada"), { origin: "https://app.example.com" });
  assert.equal(client.welcome.userId, "ada");
  await client.leave();
});

for (const origin of ["https://evil.example", "null", "https://app.example.com.evil.example", "http://app.example.com"]) {
  test(`the origin ${origin} is refused with 403, whatever the token`, async () => {
    const { status } = await refusal(`ws://${closing.host}/ws?token=${token("ada")}`, { origin });
    assert.equal(status, 403);
  });
}

test("a path that serves nothing is 404", async () => {
  assert.equal((await refusal(`ws://${closing.host}/nothing-here?token=${token("ada")}`)).status, 404);
});
