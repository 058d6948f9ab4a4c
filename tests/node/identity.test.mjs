// Who gets in, and for how long: the token's places, the two ways of refusing, the origin, public keys, the end.
import assert from "node:assert/strict";
import { generateKeyPairSync, sign } from "node:crypto";
import { after, before, test } from "node:test";
import WebSocket from "ws";
import { Client, within } from "../client.mjs";
import { serve, token } from "../server.mjs";

const ORIGIN = "https://app.example.com";

let closing;
let answering;
let byCookie;

before(async () => {
  closing = await serve({ refuse: "close-4001" });
  answering = await serve({ refuse: "http-401" });
  byCookie = await serve({ auth: 'cookie = "session"' });
});

after(async () => {
  for (const server of [closing, answering, byCookie]) {
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

test("an offered bearer subprotocol gets in, and vestibule is what is agreed to", async () => {
  for (const offered of [["vestibule", `bearer.${token("ada")}`], [`bearer.${token("ada")}`, "vestibule"]]) {
    const client = new Client(`ws://${closing.host}/ws`, {}, offered);
    assert.equal((await client.nextJson()).userId, "ada");
    assert.equal(client.socket.protocol, "vestibule");
    await client.leave();
  }
});

test("a refused bearer subprotocol is closed with 4001, which the client can see", async () => {
  const client = new Client(`ws://${closing.host}/ws`, {}, ["vestibule", "bearer.no.token.atall"]);
  assert.deepEqual(await client.nextClose(), { code: 4001, reason: "Unauthorized" });
});

test("a bearer subprotocol alone is never echoed, so that ws gives the WebSocket up", async () => {
  const client = new Client(`ws://${closing.host}/ws`, {}, [`bearer.${token("ada")}`]);
  assert.equal((await client.nextClose()).code, 1006);
  assert.match(client.error.message, /no subprotocol/);
});

test("a platform's own WebSocket agrees with ws on subprotocols", { skip: !globalThis.WebSocket }, async () => {
  const heard = (offered) => within(new Promise((resolve) => {
    const socket = new globalThis.WebSocket(`ws://${closing.host}/ws`, offered);
    socket.onmessage = ({ data }) => {
      resolve([JSON.parse(data).userId, socket.protocol]);
      socket.close();
    };
    socket.onerror = () => resolve("failed");
  }), "a message or an error");
  assert.deepEqual(await heard(["vestibule", `bearer.${token("ada")}`]), ["ada", "vestibule"]);
  assert.equal(await heard([`bearer.${token("ada")}`]), "failed");
});

test("a cookie gets in from a listed origin", async () => {
  const cookie = `theme=dark; session=${token("ada")}`;
  const client = await Client.open(`ws://${byCookie.host}/ws`, { origin: ORIGIN, headers: { cookie } });
  assert.equal((await client.nextJson()).userId, "ada");
  await client.leave();
});

for (const origin of [undefined, "null", "https://evil.example"]) {
  test(`a cookie with the origin ${origin} is refused with 403`, async () => {
    const headers = { cookie: `session=${token("ada")}` };
    assert.equal((await refusal(`ws://${byCookie.host}/ws`, { origin, headers })).status, 403);
  });
}

test("a cookie with a token that ended is closed with 4010", async () => {
  const headers = { cookie: `session=${token("ada", { expiresIn: -1 })}` };
  assert.equal((await closeOf(`ws://${byCookie.host}/ws`, { origin: ORIGIN, headers })).code, 4010);
});

test("a connection is closed with 4010 at the end of its token, unless it was refreshed", async () => {
  const brief = token("ada", { expiresIn: 2 });
  const [ends, goesOn] = await Promise.all([Client.enter(closing, brief), Client.enter(closing, brief)]);
  const foreign = await goesOn.request({ type: "refresh", token: token("eve"), id: 1 });
  assert.deepEqual([foreign.type, foreign.id, foreign.code], ["error", 1, "forbidden"]);
  const forged = await goesOn.request({ type: "refresh", token: token("ada", { secret: "x".repeat(32) }), id: 2 });
  assert.deepEqual([forged.type, forged.id, forged.code], ["error", 2, "unauthorized"]);
  assert.deepEqual(await goesOn.request({ type: "refresh", token: token("ada"), id: 3 }), { type: "ack", id: 3 });
  assert.deepEqual(await ends.nextClose(), { code: 4010, reason: "Token expired" });
  assert.deepEqual(await goesOn.request({ type: "ping" }), { type: "pong" });
  await goesOn.leave();
});

const KEYS = {
  RS256: { type: "rsa", options: { modulusLength: 2048 }, sign: { digest: "sha256" } },
  ES256: { type: "ec", options: { namedCurve: "P-256" }, sign: { digest: "sha256", dsaEncoding: "ieee-p1363" } },
  EdDSA: { type: "ed25519", options: {}, sign: { digest: null } },
};

for (const [alg, kind] of Object.entries(KEYS)) {
  test(`a token signed with ${alg} by node's crypto gets in, and one by another key does not`, async () => {
    const [ours, theirs] = [0, 1].map(() => generateKeyPairSync(kind.type, kind.options));
    const pem = ours.publicKey.export({ type: "spki", format: "pem" });
    const server = await serve({ key: `algorithms = ["${alg}"]\npublic_key = """\n${pem}"""` });
    const signed = (key) => {
      const encode = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
      const claims = { sub: "ada", exp: Math.floor(Date.now() / 1000) + 3600 };
      const message = `${encode({ alg, typ: "JWT" })}.${encode(claims)}`;
      const { digest, dsaEncoding } = kind.sign;
      return `${message}.${sign(digest, Buffer.from(message), { key, dsaEncoding }).toString("base64url")}`;
    };
    const client = await Client.enter(server, signed(ours.privateKey));
    assert.equal(client.welcome.userId, "ada");
    await client.leave();
    assert.equal((await closeOf(`ws://${server.host}/ws?token=${signed(theirs.privateKey)}`)).code, 4001);
    assert.equal((await closeOf(`ws://${server.host}/ws?token=${token("ada", { secret: pem })}`)).code, 4001);
    assert.deepEqual(await server.stop(), { code: 0, signal: null }, server.output);
  });
}
