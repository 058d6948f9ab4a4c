// The JavaScript client in Chromium, on a page of another origin than the node's: what only a browser asks of it, which
// is CORS, preflights and subprotocols.
import assert from "node:assert/strict";
import { createServer } from "node:http";
import { after, afterEach, before, beforeEach, test } from "node:test";
import { chromium } from "playwright-core";
import { Application, KEY } from "../application.mjs";
import { FLAGS, chromiumPath } from "../chromium.mjs";
import { Client } from "../client.mjs";
import { serve, token } from "../server.mjs";

const RULES = `
[[room]]
pattern = "kept:*"
join = "authenticated"
publish = "authenticated"
history = { size = 100, ttl = "5m" }
`;

let application;
let browser;
let elsewhere;
let server;
let page;

before(async () => {
  browser = await chromium.launch({ executablePath: chromiumPath(), args: FLAGS, headless: true });
  elsewhere = createServer((request, response) => {
    response.setHeader("content-type", request.url === "/worker.js" ? "text/javascript" : "text/html");
    response.end(request.url === "/worker.js" ? WORKER : "<!doctype html>");
  });
  await new Promise((resolve) => { elsewhere.listen(0, "127.0.0.1", resolve); });
  application = await Application.begin({
    message: ({ data: { event, payload } }) => (event === "buy" ? { allow: false, reason: "sold out" } : { reply: payload }),
  });
  server = await serve({
    rules: RULES,
    origins: [`http://127.0.0.1:${elsewhere.address().port}`],
    env: { VESTIBULE_HOOKS__URL: application.url, VESTIBULE_HOOKS__SECRET: KEY, VESTIBULE_HOOKS__EVENTS: '["message"]' },
  });
});

beforeEach(async () => {
  page = await browser.newPage();
  page.setDefaultTimeout(20_000);
  await page.goto(`http://127.0.0.1:${elsewhere.address().port}/`);
});

afterEach(() => page.close());

after(async () => {
  await browser?.close();
  elsewhere?.closeAllConnections();
  elsewhere?.close();
  if (server) assert.deepEqual(await server.stop(), { code: 0, signal: null }, server.output);
  await application?.stop();
});

const WORKER = `
  onmessage = async ({ data: { host, bearer, room } }) => {
    const { connect } = await import("http://" + host + "/vestibule.js");
    const client = connect("ws://" + host + "/ws", { token: bearer });
    const joined = await client.join(room, { since: "earliest" });
    joined.on("message", (payload) => postMessage(payload));
  };
`;

/** The page joins a room, and keeps what it hears in `heard`. */
const join = (room) => page.evaluate(async ({ host, bearer, room }) => {
  const { connect } = await import(`http://${host}/vestibule.js`);
  window.client = connect(`ws://${host}/ws`, { token: () => bearer, retryMinMs: 50, retryMaxMs: 200 });
  window.room = await window.client.join(room);
  window.heard = [];
  window.room.on("*", (payload) => window.heard.push(payload));
  window.room.on("gap", ({ reason }) => window.heard.push(`gap: ${reason}`));
  return window.client.state.transport;
}, { host: server.host, bearer: token("ada"), room });

const heard = async (count) => {
  await page.waitForFunction((wanted) => window.heard.length >= wanted, count);
  return page.evaluate(() => window.heard);
};

/** Somebody says these things. */
async function say(room, ...payloads) {
  const bob = await Client.enter(server, token("bob"));
  for (const [id, payload] of payloads.entries()) await bob.request({ type: "broadcast", room, payload, id });
  await bob.leave();
}

test("a page hears and speaks by WebSocket, and its token stands in no URL", async () => {
  const urls = [];
  page.on("websocket", (socket) => urls.push(socket.url()));
  assert.equal(await join("kept:page"), "websocket");
  await say("kept:page", 1, { "🦀": [2] });
  assert.deepEqual(await heard(2), [1, { "🦀": [2] }]);
  const { position } = await page.evaluate(() => window.room.publish("from a page"));
  assert.match(position, /-3$/);
  assert.deepEqual(urls, [`ws://${server.host}/ws`]);
});

test("a page is told what the application replies, and why it refuses", async () => {
  await join("kept:asked");
  const told = await page.evaluate(async () => {
    const reply = await window.client.send("say", { "🦀": [2] });
    return [reply, await window.client.send("buy").catch(({ code, message }) => [code, message])];
  });
  assert.deepEqual(told, [{ "🦀": [2] }, ["hook_refused", "sold out"]]);
});

test("a page without WebSocket hears by streams of another origin, joins further rooms, and misses nothing", async () => {
  await page.evaluate(() => {
    window.WebSocket = class {
      constructor() {
        setTimeout(() => this.onclose?.({ code: 1006, reason: "" }));
      }

      close() {}
    };
  });
  const urls = [];
  page.on("request", (request) => urls.push(request.url()));
  assert.equal(await join("kept:stream"), "sse");
  await say("kept:stream", 1, 2);
  await heard(2);
  await page.evaluate(() => window.client.join("kept:other"));
  await say("kept:stream", 3);
  assert.deepEqual(await heard(3), [1, 2, 3]);
  assert.equal(await page.evaluate(() => window.room.publish(1).catch(({ code }) => code)), "receive_only");
  assert.ok(urls.some((url) => url.includes("/events?")) && !urls.some((url) => url.includes("eyJ")), urls.join("\n"));
});

test("a worker has it too", async () => {
  await say("kept:worker", "for a worker");
  const said = await page.evaluate((order) => new Promise((resolve) => {
    const worker = new Worker("/worker.js", { type: "module" });
    worker.onmessage = ({ data }) => resolve(data);
    worker.postMessage(order);
  }), { host: server.host, bearer: token("ada"), room: "kept:worker" });
  assert.equal(said, "for a worker");
});
