// Chromium drives two tabs of `vestibule demo`: what a visitor sees.
import assert from "node:assert/strict";
import { after, afterEach, before, beforeEach, test } from "node:test";
import { chromium } from "playwright-core";
import { FLAGS, chromiumPath } from "../chromium.mjs";
import { demo } from "../server.mjs";

const SEEN_WITHIN_MS = 30_000;

let browser;
let server;
let context;
let complaints;

before(async () => {
  browser = await chromium.launch({ executablePath: chromiumPath(), args: FLAGS, headless: true });
});

after(async () => { await browser?.close(); });

beforeEach(async () => {
  complaints = [];
  server = await demo();
  context = await browser.newContext();
  context.setDefaultTimeout(SEEN_WITHIN_MS);
});

afterEach(async () => {
  await context?.close();
  assert.deepEqual(await server.stop(), { code: 0, signal: null }, server.output);
});

async function tab(query = "") {
  const page = await context.newPage();
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("console", (message) => {
    if (/Content Security Policy|TypeError|ReferenceError/.test(message.text())) complaints.push(message.text());
  });
  await page.goto(`http://${server.host}/${query}`);
  return page;
}

/** A tab that has joined `room` as `name`. */
async function member(name, room) {
  const page = await tab(`?name=${encodeURIComponent(name)}&room=${encodeURIComponent(room)}`);
  await state(page, "joined");
  return page;
}

const state = (page, wanted) => page.locator(`[data-testid=state][data-state=${wanted}]`).waitFor();

async function say(page, text) {
  await page.getByTestId("text").fill(text);
  await page.getByTestId("text").press("Enter");
}

/** Waits for the message and for its server's word. */
const seen = (page, text, status) =>
  page.locator(`[data-testid=message][data-status=${status}]`).filter({ hasText: text }).first().waitFor();

const told = (page, text) => page.getByTestId("told").filter({ hasText: text }).waitFor();

const transcript = (page) => page.getByTestId("message").evaluateAll((items) => items.map((item) =>
  [item.querySelector("[data-testid=message-from]").textContent, item.querySelector("[data-testid=message-text]").textContent]));

test("a visitor picks a name and a room, and is shown to it", async () => {
  const page = await tab();
  await page.getByLabel("Your name").fill("Ada");
  await page.getByLabel("Room", { exact: true }).fill("library");
  await page.getByRole("button", { name: "Join" }).click();
  await state(page, "joined");
  assert.equal(await page.getByTestId("room-title").textContent(), "library");
  assert.equal(await page.getByTestId("user").textContent(), "Ada");
  await page.getByTestId("leave").click();
  await page.getByTestId("entry").waitFor();
  assert.deepEqual(complaints, []);
});

test("two tabs in one room hear each other, in one order", async () => {
  const ada = await member("Ada", "lobby");
  const bob = await member("Bob", "lobby");
  const said = [];
  for (let n = 0; n < 10; n++) {
    const [speaker, listener, from] = n % 2 === 0 ? [ada, bob, "Ada"] : [bob, ada, "Bob"];
    said.push([from, `message ${n} from ${from}.`]);
    await say(speaker, said[n][1]);
    await seen(speaker, said[n][1], "sent");
    await seen(listener, said[n][1], "received");
  }
  assert.deepEqual(await transcript(ada), said);
  assert.deepEqual(await transcript(bob), said);
  assert.deepEqual(complaints, []);
});

test("a burst arrives complete and in the order in which it was said", async () => {
  const ada = await member("Ada", "lobby");
  const bob = await member("Bob", "lobby");
  const said = Array.from({ length: 20 }, (_, n) => ["Ada", `burst ${n}.`]);
  for (const [, text] of said) await say(ada, text);
  await seen(bob, "burst 19.", "received");
  assert.deepEqual(await transcript(bob), said);
  await seen(ada, "burst 19.", "sent");
  assert.deepEqual(await transcript(ada), said);
});

test("rooms are apart", async () => {
  const ada = await member("Ada", "here");
  const bob = await member("Bob", "there");
  const cy = await member("Cy", "here");
  await say(ada, "only here");
  await seen(cy, "only here", "received");
  await say(bob, "only there");
  await seen(bob, "only there", "sent");
  assert.deepEqual(await transcript(bob), [["Bob", "only there"]]);
});

test("the shard and the round trip are shown", async () => {
  const page = await member("Ada", "lobby");
  assert.match(await page.getByTestId("shard").textContent(), /^[01]$/);
  await page.getByTestId("rtt").filter({ hasText: /^\d+(\.\d)? ms$/ }).waitFor();
});

test("foreign text stays text", async () => {
  const ada = await member("Ada <i>", "lobby");
  const bob = await member("Bob", "lobby");
  const text = '<img src=x onerror="document.title=1"><b>bold</b>';
  await say(ada, text);
  await seen(bob, "bold", "received");
  assert.deepEqual(await transcript(bob), [["Ada <i>", text]]);
  assert.equal(await bob.getByTestId("log").locator("b, img, i").count(), 0);
});

test("the page is served with a policy that lets nothing foreign in", async () => {
  for (const [path, type] of [["/", "text/html"], ["/chat.js", "text/javascript"], ["/chat.css", "text/css"]]) {
    const response = await fetch(`http://${server.host}${path}`);
    assert.equal(response.status, 200, path);
    assert.ok(response.headers.get("content-type").startsWith(type), path);
  }
  const page = await fetch(`http://${server.host}/`);
  const policy = page.headers.get("content-security-policy") ?? "";
  assert.match(policy, /default-src '(none|self)'/);
  assert.doesNotMatch(policy, /unsafe|\*|https?:/);
});

for (const [how, signal, ended] of [
  ["a restart", "SIGTERM", { code: 0, signal: null }],
  ["a kill", "SIGKILL", { code: null, signal: "SIGKILL" }],
]) {
  test(`both tabs come back by themselves after ${how} of the server`, async () => {
    const ada = await member("Ada", "lobby");
    const bob = await member("Bob", "lobby");
    await say(ada, "before");
    await seen(bob, "before", "received");
    assert.deepEqual(await server.stop(signal), ended, server.output);
    await Promise.all([state(ada, "waiting"), state(bob, "waiting")]);
    assert.ok(await ada.getByTestId("send").isDisabled());
    server = await demo(server.port);
    await Promise.all([state(ada, "joined"), state(bob, "joined")]);
    // What the room kept went with the server, and nobody can know what stood there: that is said.
    await told(ada, "Some messages were missed.");
    await say(bob, "after");
    await seen(bob, "after", "sent");
    await seen(ada, "after", "received");
    assert.deepEqual(await transcript(ada), [["Ada", "before"], ["Bob", "after"]]);
    assert.deepEqual(complaints, []);
  });
}

test("what a lost server has not confirmed is marked, and can be said again", async () => {
  const ada = await member("Ada", "lobby");
  const bob = await member("Bob", "lobby");
  // The server falls silent with the connection open: nothing is answered.
  server.freeze();
  await say(ada, "into the void");
  await seen(ada, "into the void", "pending");
  await server.stop("SIGKILL");
  await seen(ada, "into the void", "failed");
  server = await demo(server.port);
  await Promise.all([state(ada, "joined"), state(bob, "joined")]);
  await ada.getByRole("button", { name: "Send again" }).click();
  await seen(bob, "into the void", "received");
  await seen(ada, "into the void", "sent");
});

// A stand-in for the server's side of the socket where the real one would
// have to be brought to say what is wanted.
async function met(page, answer) {
  const meetings = [];
  await page.routeWebSocket(/\/ws$/, (socket) => {
    meetings.push(Date.now());
    answer(socket, meetings.length);
  });
  await page.goto(`http://${server.host}/?name=Ada&room=lobby`);
  return meetings;
}

test("a token that the server refuses stops the page, and it says why", async () => {
  const page = await context.newPage();
  await page.route(/\/token\?/, (route) => route.fulfill({ json: { token: "nonsense" } }));
  await page.goto(`http://${server.host}/?name=Ada&room=lobby`);
  const error = page.getByTestId("entry-error").filter({ hasText: "unauthorized (4001)" });
  await error.waitFor();
  assert.ok(await page.getByTestId("entry").isVisible());
});

test("an expired token is replaced at once", async () => {
  const page = await context.newPage();
  let tokens = 0;
  await page.route(/\/token\?/, (route) => { tokens += 1; return route.continue(); });
  await met(page, (socket, meeting) => {
    if (meeting === 1) socket.close({ code: 4010, reason: "token expired" });
    else socket.connectToServer();
  });
  await state(page, "joined");
  assert.equal(tokens, 2);
});

test("the hint of a server that goes away is kept to", async () => {
  const page = await context.newPage();
  const meetings = await met(page, (socket, meeting) => {
    if (meeting === 1) socket.close({ code: 1001, reason: "retry=1500" });
    else socket.connectToServer();
  });
  await state(page, "joined");
  assert.ok(meetings[1] - meetings[0] >= 1500, `came back after ${meetings[1] - meetings[0]} ms`);
});

test("too many messages are followed by a long wait", async () => {
  const page = await context.newPage();
  await met(page, (socket) => socket.close({ code: 4029, reason: "" }));
  const notice = page.getByTestId("notice").filter({ hasText: "too many messages (4029)" });
  await notice.waitFor();
  const [, seconds] = /again in (\d+) s/.exec(await notice.textContent());
  assert.ok(Number(seconds) >= 5, `${seconds} s`);
});

test("a gap is told", async () => {
  const page = await context.newPage();
  await met(page, (socket) => {
    const real = socket.connectToServer();
    real.onMessage((text) => {
      socket.send(text);
      if (JSON.parse(text).type === "ack") socket.send('{"type":"gap","room":"lobby","position":"e-1"}');
    });
  });
  await told(page, "Some messages were missed.");
});

test("who comes later is shown what was said before", async () => {
  const ada = await member("Ada", "lobby");
  await say(ada, "first");
  await say(ada, "second");
  await seen(ada, "second", "sent");
  const bob = await member("Bob", "lobby");
  await seen(bob, "second", "received");
  assert.deepEqual(await transcript(bob), [["Ada", "first"], ["Ada", "second"]]);
  assert.equal(await bob.getByTestId("told").count(), 0);
  assert.deepEqual(complaints, []);
});

test("nothing is lost by a tab that is cut off, neither what it said nor what it did not hear", async () => {
  const page = await context.newPage();
  let cut;
  let release;
  const held = new Promise((resolve) => { release = resolve; });
  await met(page, (socket, meeting) => {
    socket.connectToServer();
    if (meeting === 1) cut = () => socket.close({ code: 4008, reason: "" });
  });
  await state(page, "joined");
  const bob = await member("Bob", "lobby");
  await say(page, "before");
  await seen(bob, "before", "received");
  // It cannot come back before everything is said.
  await page.route(/\/token\?/, async (route) => { await held; await route.continue(); });
  cut();
  await page.getByTestId("send").and(page.locator(":disabled")).waitFor();
  for (let n = 0; n < 10; n++) await say(bob, `meanwhile ${n}.`);
  await seen(bob, "meanwhile 9.", "sent");
  release();
  await state(page, "joined");
  await seen(page, "meanwhile 9.", "received");
  await say(page, "after");
  await seen(bob, "after", "received");
  const said = [["Ada", "before"], ...Array.from({ length: 10 }, (_, n) => ["Bob", `meanwhile ${n}.`]), ["Ada", "after"]];
  assert.deepEqual(await transcript(page), said);
  assert.deepEqual(await transcript(bob), said);
  assert.equal(await page.getByTestId("told").count(), 0);
});

test("a tab whose network blocks WebSocket hears the others, and says that it cannot speak", async () => {
  const page = await context.newPage();
  await page.addInitScript(() => {
    window.WebSocket = class {
      constructor() {
        setTimeout(() => this.onclose?.({ code: 1006, reason: "" }));
      }

      close() {}
    };
  });
  await page.goto(`http://${server.host}/?name=Ada&room=lobby`);
  await state(page, "joined");
  await page.getByTestId("notice").filter({ hasText: "WebSocket is blocked here" }).waitFor();
  assert.ok(await page.getByTestId("send").isDisabled());
  const bob = await member("Bob", "lobby");
  for (let n = 0; n < 3; n++) await say(bob, `heard ${n}.`);
  await seen(page, "heard 2.", "received");
  assert.deepEqual(await transcript(page), Array.from({ length: 3 }, (_, n) => ["Bob", `heard ${n}.`]));
  assert.equal(await page.getByTestId("told").count(), 0);
});
