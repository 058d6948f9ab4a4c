// What the application is sent, held against npm's `standardwebhooks`: it verifies every event as it came, and nothing
// that was changed on the way.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { after, before, test } from "node:test";
import { Webhook, WebhookVerificationError } from "standardwebhooks";
import { Application, KEY } from "../application.mjs";
import { Client } from "../client.mjs";
import { serve, token } from "../server.mjs";

const webhook = new Webhook(KEY);

const verdicts = {
  connect: () => ({ allow: true, state: { plan: "é" } }),
  join: () => ({ allow: true }),
  message: ({ data }) => ({ reply: { had: data.payload } }),
};

let application;
let server;

before(async () => {
  application = await Application.begin(verdicts);
  server = await serve({
    rules: '[[room]]\npattern = "asked:*"\njoin = "hook"\n',
    env: { VESTIBULE_HOOKS__URL: application.url, VESTIBULE_HOOKS__SECRET: KEY, VESTIBULE_HOOKS__HEADERS: '["user-agent", "x-tenant"]' },
  });
  const client = await Client.enter(server, token("ada", { plan: "gold" }), { headers: { "X-Tenant": "b" } });
  assert.deepEqual(await client.request({ type: "join", room: "asked:1", id: 1 }), { type: "ack", id: 1 });
  const said = { type: "event", event: "say", payload: { text: 'a "b" \\ \u00e9 \u2028 \u{1f600}' }, id: 2 };
  assert.deepEqual(await client.request(said), { type: "ack", id: 2, reply: { had: said.payload } });
  assert.deepEqual(await client.request({ type: "leave", room: "asked:1", id: 3 }), { type: "ack", id: 3 });
  await client.leave();
});

after(async () => {
  await application.stop();
  if (!server) return;
  assert.deepEqual(await server.stop(), { code: 0, signal: null }, server.output);
  assert.ok(!server.output.includes(KEY.slice(6)), "the log shows the key");
});

for (const type of ["connect", "join", "message", "leave", "disconnect"]) {
  test(`the published library verifies ${type}`, async () => {
    const { headers, body } = await application.called(type);
    assert.deepEqual(webhook.verify(body, headers), JSON.parse(body));
    assert.equal(headers["content-type"], "application/json");
    assert.match(headers["user-agent"], /^vestibule\/\d/);
    assert.match(headers["webhook-id"], new RegExp(`^${type}_`));
  });

  test(`the published library refuses ${type} when a byte of it is another one, or another key signed it`, async () => {
    const { headers, body } = await application.called(type);
    const refuses = (text, fields, by = webhook) => {
      assert.throws(() => by.verify(text, { ...headers, ...fields }), WebhookVerificationError);
    };
    for (let at = 0; at < body.length; at += 7) {
      refuses(body.slice(0, at) + String.fromCharCode(body.charCodeAt(at) ^ 1) + body.slice(at + 1));
    }
    refuses(`${body} `);
    refuses(body, { "webhook-id": `${headers["webhook-id"]}0` });
    refuses(body, { "webhook-timestamp": String(Number(headers["webhook-timestamp"]) - 1) });
    refuses(body, { "webhook-signature": headers["webhook-signature"].replace(/,./, (c) => (c === ",A" ? ",B" : ",A")) });
    refuses(body, {}, new Webhook(Buffer.from("another key, of as many bytes").toString("base64")));
  });
}

test("an event says of whom it tells, and of what", async () => {
  const { event: connect, path } = await application.called("connect");
  assert.equal(path, "/hooks?from=edge");
  assert.match(connect.timestamp, /^20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
  const { request, address, headers, claims, transport, query, state } = connect.data;
  assert.deepEqual([address, transport, query, state], ["127.0.0.1", "websocket", undefined, undefined]);
  assert.equal(claims.plan, "gold");
  assert.ok(connect.data.token === undefined && !JSON.stringify(connect).includes("eyJ"), "no token where it is judged here");
  assert.deepEqual(headers, { "x-tenant": "b" });

  for (const type of ["join", "message", "leave", "disconnect"]) {
    const { data } = (await application.called(type)).event;
    assert.deepEqual([data.request, data.user, data.state], [request, "ada", { plan: "é" }], type);
    assert.match(data.connection, /^[0-9a-f]{20}$/);
  }
  assert.equal((await application.called("join")).event.data.room, "asked:1");
  const { event, payload } = (await application.called("message")).event.data;
  assert.deepEqual([event, payload.text], ["say", 'a "b" \\ \u00e9 \u2028 \u{1f600}']);
  assert.deepEqual((await application.called("disconnect")).event.data.rooms, []);
});

test("no two events have one name, and each came once", async () => {
  await application.called("disconnect");
  const ids = application.had.map(({ headers }) => headers["webhook-id"]);
  assert.deepEqual(ids.map((id) => id.split("_")[0]), ["connect", "join", "message", "leave", "disconnect"]);
  assert.equal(new Set(ids).size, ids.length);
});

test("the call that docs/hooks.md shows is signed with the secret that stands there", async () => {
  const page = await readFile(new URL("../../docs/hooks.md", import.meta.url), "utf8");
  const [, shown] = page.match(/```http\n(.*?)\n```/s);
  const [head, ...rest] = shown.split("\n\n");
  const body = rest.join("").replaceAll("\n", "");
  const field = (name) => head.match(new RegExp(`^${name}: (.*)$`, "mi"))[1];
  const [secret] = page.match(/whsec_[A-Za-z0-9+/]{32,}=*/);
  const at = new Date(Number(field("webhook-timestamp")) * 1000);
  assert.equal(field("webhook-signature"), new Webhook(secret).sign(field("webhook-id"), at, body));
  assert.equal(Number(field("content-length")), body.length);
  assert.equal(JSON.parse(body).timestamp, at.toISOString().replace(".000", ""));
});
