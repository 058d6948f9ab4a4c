// Chromium's EventSource and npm's eventsource, side by side on every stream: a
// page of a listed origin, and what it hears from a server of another.
import assert from "node:assert/strict";
import { createServer } from "node:http";
import { after, before, test } from "node:test";
import { chromium } from "playwright-core";
import { FLAGS, chromiumPath } from "../chromium.mjs";
import { token } from "../server.mjs";
import { SCENARIOS, npmListener, serveStreams } from "../streams.mjs";

let browser;
let pages;
let origin;
let page;
let server;
const another = () => serveStreams([origin]);

before(async () => {
  // A page needs an origin, and this one is nobody else's.
  pages = createServer((_, response) => response.setHeader("content-type", "text/html").end("<!doctype html><title>listener</title>"));
  await new Promise((resolve) => { pages.listen(0, "127.0.0.1", resolve); });
  origin = `http://127.0.0.1:${pages.address().port}`;
  server = await another();
  browser = await chromium.launch({ executablePath: chromiumPath(), args: FLAGS, headless: true });
  page = await browser.newPage();
  await page.goto(origin);
  await page.evaluate(() => { globalThis.streams = []; });
});

after(async () => {
  await browser?.close();
  pages?.close();
  if (server) assert.deepEqual(await server.stop(), { code: 0, signal: null }, server.output);
});

/** A listener by the browser's own EventSource. */
async function chromiumListener(url, names) {
  const index = await page.evaluate(([url, names]) => {
    const stream = { source: new EventSource(url), heard: [] };
    for (const name of names) {
      stream.source.addEventListener(name, ({ type, data, lastEventId }) => stream.heard.push([type, data, lastEventId]));
    }
    return globalThis.streams.push(stream) - 1;
  }, [url, names]);
  const ask = (look) => page.evaluate(look, index);
  return {
    heard: () => ask((index) => globalThis.streams[index].heard),
    state: () => ask((index) => globalThis.streams[index].source.readyState),
    close: () => ask((index) => globalThis.streams[index].source.close()),
  };
}

for (const [what, run] of Object.entries(SCENARIOS)) {
  test(what, () => run(server, [chromiumListener, npmListener], another));
}

test("a page that is not listed hears nothing and learns nothing", async () => {
  const elsewhere = await serveStreams(["https://other.example"]);
  const url = `http://${elsewhere.host}/events?room=kept:a&token=${token("ada")}`;
  const told = await page.evaluate((url) => fetch(url).then((response) => response.status, (error) => error.name), url);
  assert.equal(told, "TypeError");
  assert.deepEqual(await elsewhere.stop(), { code: 0, signal: null }, elsewhere.output);
});

test("a listed page may read a refusal, and send what needs a preflight", async () => {
  const read = (path, headers) => page.evaluate(async ([url, headers]) => {
    const stop = new AbortController();
    const response = await fetch(url, { headers, credentials: "include", signal: stop.signal });
    const body = response.ok ? "" : (await response.json()).error.code;
    stop.abort();
    return [response.status, body];
  }, [`http://${server.host}${path}`, headers]);
  assert.deepEqual(await read("/events?room=kept:a", {}), [401, "unauthorized"]);
  const authorization = `Bearer ${token("ada")}`;
  assert.deepEqual(await read("/events", { authorization }), [400, "rooms"]);
  const headers = { authorization, "last-event-id": "1-2", "cache-control": "no-cache" };
  assert.deepEqual(await read("/events?room=kept:a", headers), [200, ""]);
});
