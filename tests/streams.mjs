// What listeners of Server-Sent Events must hear, whoever they are: each scenario
// opens one stream for every kind of listener that it is given, and holds what
// they heard against what was said, so that the kinds agree with one another too.
//
// A kind opens a stream with `listen(url, names)` and answers with `heard()`, the
// events so far as `[name, data, lastEventId]`, `state()`, the readyState, and
// `close()`.
import assert from "node:assert/strict";
import { connect, createServer } from "node:net";
import { EventSource } from "eventsource";
import { Client } from "./client.mjs";
import { call, serve, token } from "./server.mjs";

const SEEN_WITHIN_MS = 20_000;
const CLOSED = 2;
const OWN = ["connected", "gap", "close"];

/** A server with rooms that keep what is said, for pages of these origins. */
export const serveStreams = (origins) => serve({
  origins,
  rules: '[[room]]\npattern = "kept:*"\njoin = "authenticated"\npublish = "authenticated"\nhistory = { size = 100, ttl = "5m" }\n',
});

/** A listener by npm's eventsource. */
export async function npmListener(url, names) {
  const heard = [];
  const source = new EventSource(url);
  for (const name of names) {
    source.addEventListener(name, ({ type, data, lastEventId }) => heard.push([type, data, lastEventId]));
  }
  return { heard: async () => heard, state: async () => source.readyState, close: async () => source.close() };
}

/** Polls until `look` answers with something true. */
async function seen(what, look) {
  const deadline = Date.now() + SEEN_WITHIN_MS;
  for (;;) {
    const result = await look();
    if (result) return result;
    if (Date.now() > deadline) throw new Error(`not seen within ${SEEN_WITHIN_MS} ms: ${what}`);
    await new Promise((resolve) => { setTimeout(resolve, 20); });
  }
}

/** One stream for each kind, all of them open. */
async function open(kinds, url, names = []) {
  const listeners = await Promise.all(kinds.map((listen) => listen(url, [...OWN, "message", ...names])));
  await Promise.all(listeners.map((listener) => heardAt(listener, 1)));
  return listeners;
}

/** What a listener heard, once that is so much. */
const heardAt = (listener, count) =>
  seen(`${count} events`, async () => {
    const heard = await listener.heard();
    return heard.length >= count && heard;
  }).catch(async (error) => {
    throw new Error(`${error.message}; heard: ${JSON.stringify(await listener.heard())}`);
  });

/** Waits until every listener has heard these and nothing else, `connected` events apart, ids if they are given. */
async function allHear(listeners, expected) {
  for (const listener of listeners) {
    const heard = await seen(`${expected.length} events`, async () => {
      const events = (await listener.heard()).filter(([name]) => name !== "connected");
      return events.length >= expected.length && events;
    }).catch(async (error) => {
      throw new Error(`${error.message}; heard: ${JSON.stringify(await listener.heard())}`);
    });
    assert.deepEqual(heard.map((event, at) => event.slice(0, expected[at]?.length ?? 3)), expected);
  }
}

const close = (listeners) => Promise.all(listeners.map((listener) => listener.close()));

const named = (event) => (event === undefined ? "" : `,"event":${JSON.stringify(event)}`);

/** Publishes a payload as it is written, over the API, and resolves to its position. */
async function publish(server, room, event, payload) {
  const body = `{"room":${JSON.stringify(room)}${named(event)},"payload":${payload}}`;
  return (await call(server, "/publish", body)).position;
}

/** The same by a WebSocket. */
async function say(speaker, room, event, payload) {
  const answer = await speaker.request(`{"type":"broadcast","id":1,"room":${JSON.stringify(room)}${named(event)},"payload":${payload}}`);
  assert.equal(answer.type, "ack", JSON.stringify(answer));
  return answer.position;
}

/** Stands between listeners and a server; `cut` breaks every connection. */
async function relay(server) {
  const pairs = new Set();
  const listener = createServer((near) => {
    const far = connect(relayed.port, "127.0.0.1");
    const pair = [near, far];
    pairs.add(pair);
    for (const [one, other] of [pair, [far, near]]) {
      one.on("error", () => {});
      one.on("close", () => { other.destroy(); pairs.delete(pair); });
      one.pipe(other);
    }
  });
  const relayed = {
    port: server.port,
    cut: () => { for (const pair of pairs) pair.forEach((socket) => socket.destroy()); },
    stop: () => { relayed.cut(); listener.close(); },
  };
  await new Promise((resolve) => { listener.listen(0, "127.0.0.1", resolve); });
  relayed.host = `127.0.0.1:${listener.address().port}`;
  return relayed;
}

/** Payloads and names in which some reader might find more than one event, or less. */
const HOSTILE = [
  [undefined, '{"n":1}'],
  [undefined, "[\r1,\r\r2]"],
  [undefined, "[\n1,\n\n2]"],
  [undefined, "[\r\n1,\r\n\r\n2]"],
  [undefined, "[\n\r1]"],
  [undefined, '[\r"data: 1",\r\r"event: close",\r"id: 7"\r\r]'],
  [undefined, '"a\\r\\n\\r\\ndata: b\\n\\nid: 7\\n\\u0000"'],
  [undefined, '"\u2028\u2029\u0085\u007f\ufeff\ud83d\ude00"'],
  [undefined, '[\t1 ,  "" ]'],
  [undefined, "7"],
  [undefined, `"${"x".repeat(50_000)}"`],
  ["say", "1"],
  ["a:b", "2"],
  [" data", "3"],
  ["id", "4"],
  ["\ufeffbom", "5"],
  ["\u0085\u2028", "6"],
  ["é😀", "7"],
  ["message", "8"],
];

/** Names that would break a line, or be taken for a stream's own event. */
const REFUSED = ["", "a\rb", "a\nb", "a\r\ndata: 1\r\n\r\n", "a\0b", "a\u007f", "close", "gap", "connected", "error", "open"];

export const SCENARIOS = {
  "each publication is one event with its name and its lines, whatever stands in it": async (server, kinds) => {
    const room = `kept:${kinds.length}`;
    const names = HOSTILE.map(([name]) => name).filter((name) => name !== undefined && name !== "message");
    const url = `http://${server.host}/events?room=${room}&token=${token("ada")}`;
    const listeners = await open(kinds, url, names);
    const speaker = await Client.enter(server, token("bob"));
    const expected = [];
    for (const [name, payload] of HOSTILE) {
      const event = [name ?? "message", payload.replaceAll(/\r\n?/g, "\n")];
      expected.push([...event, await say(speaker, room, name, payload)]);
      expected.push([...event, await publish(server, room, name, payload)]);
    }
    await allHear(listeners, expected);
    await close(listeners);
    await speaker.leave();
  },

  "a name that would be more than a name is refused, and nothing comes of it": async (server, kinds) => {
    const url = `http://${server.host}/events/ada?token=${token("ada")}`;
    const listeners = await open(kinds, `http://${server.host}/events?room=names&token=${token("ada")}`, ["b", "a"]);
    const speaker = await Client.enter(server, token("bob"));
    for (const event of REFUSED) {
      const answer = await speaker.request({ type: "broadcast", id: 1, room: "names", event, payload: 1 });
      assert.equal(answer.code, "bad_message", JSON.stringify(event));
      await assert.rejects(publish(server, "names", event, "1"), /^Error: \/publish 400: /, JSON.stringify(event));
    }
    await say(speaker, "names", "a", '"the only one"');
    await allHear(listeners, [["a", '"the only one"']]);
    assert.equal((await fetch(url, { method: "HEAD" })).status, 200);
    await close(listeners);
    await speaker.leave();
  },

  "a stream of several rooms tells all of them apart by position": async (server, kinds) => {
    const url = `http://${server.host}/events?room=kept:a&room=plain&room=kept:b&token=${token("ada")}`;
    const listeners = await open(kinds, url, ["say"]);
    const speaker = await Client.enter(server, token("bob"));
    const a = await say(speaker, "kept:a", "say", "1");
    const plain = await say(speaker, "plain", undefined, "2");
    const b = await say(speaker, "kept:b", "say", "3");
    assert.equal(plain, undefined);
    await allHear(listeners, [["say", "1"], ["message", "2"], ["say", "3"]]);
    for (const listener of listeners) {
      const [, first, , third] = await listener.heard();
      assert.ok(first[2].startsWith(`${a},`) && third[2].startsWith(`${a},`) && third[2].endsWith(`,${b}`), third[2]);
    }
    await close(listeners);
    await speaker.leave();
  },

  "whose connection breaks comes back by itself and misses nothing": async (server, kinds) => {
    const between = await relay(server);
    const room = `kept:cut${kinds.length}`;
    const listeners = await open(kinds, `http://${between.host}/events?room=${room}&token=${token("ada")}`);
    const speaker = await Client.enter(server, token("bob"));
    const expected = [];
    for (let round = 0; round < 3; round++) {
      for (let n = 0; n < 3; n++) {
        const payload = `[${round},${n}]`;
        expected.push(["message", payload, await say(speaker, room, undefined, payload)]);
        if (n === 0) {
          await allHear(listeners, expected);
          between.cut();
        }
      }
      await allHear(listeners, expected);
    }
    await close(listeners);
    between.stop();
    await speaker.leave();
  },

  "after a restart listeners come back by themselves and are told of the gap": async (_, kinds, another) => {
    const first = await another();
    const between = await relay(first);
    const listeners = await open(kinds, `http://${between.host}/events?room=kept:r&token=${token("ada")}`);
    const speaker = await Client.enter(first, token("bob"));
    const position = await say(speaker, "kept:r", undefined, "1");
    await allHear(listeners, [["message", "1", position]]);
    assert.deepEqual(await first.stop(), { code: 0, signal: null }, first.output);
    const second = await another();
    between.port = second.port;
    for (const listener of listeners) {
      const heard = await heardAt(listener, 4);
      assert.deepEqual(heard.map(([name]) => name), ["connected", "message", "connected", "gap"]);
      assert.deepEqual(Object.keys(JSON.parse(heard[3][1])), ["room", "position"]);
      assert.equal(JSON.parse(heard[3][1]).position, heard[3][2]);
    }
    await close(listeners);
    between.stop();
    assert.deepEqual(await second.stop(), { code: 0, signal: null }, second.output);
  },

  "with its token's end a listener is told, comes back once and gives up": async (server, kinds) => {
    const brief = token("ada", { expiresIn: 2 });
    const listeners = await open(kinds, `http://${server.host}/events?room=kept:t&token=${brief}`);
    await allHear(listeners, [["close", '{"code":4010,"reason":"Token expired"}']]);
    for (const listener of listeners) {
      await seen("it gave up", async () => await listener.state() === CLOSED);
      assert.deepEqual((await listener.heard()).map(([name]) => name), ["connected", "close"]);
    }
  },

  "whom the backend sends away is told, comes back once and stays away": async (server, kinds) => {
    const user = `sent-away-${kinds.length}`;
    const listeners = await open(kinds, `http://${server.host}/events?room=kept:s&token=${token(user)}`);
    const answer = await call(server, `/users/${user}/disconnect`, '{"reason":"enough"}');
    assert.deepEqual(answer, { disconnected: kinds.length });
    await allHear(listeners, [["close", '{"code":4003,"reason":"enough"}', "close-4003"]]);
    for (const listener of listeners) {
      await seen("it gave up", async () => await listener.state() === CLOSED);
      assert.deepEqual((await listener.heard()).map(([name]) => name), ["connected", "close"]);
    }
  },

  "whom the backend asks to come back does so by itself and misses nothing": async (server, kinds) => {
    const [user, room] = [`back-${kinds.length}`, `kept:back${kinds.length}`];
    const listeners = await open(kinds, `http://${server.host}/events?room=${room}&token=${token(user)}`);
    const first = await publish(server, room, undefined, "1");
    await allHear(listeners, [["message", "1", first]]);
    await call(server, `/users/${user}/disconnect`, '{"code":1011}');
    const second = await publish(server, room, undefined, "2");
    await allHear(listeners, [["message", "1", first], ["close", '{"code":1011,"reason":""}', first], ["message", "2", second]]);
    await close(listeners);
  },

  "who was told to stop, or is refused, gives up at once": async (server, kinds) => {
    for (const query of [`room=kept:x&last_event_id=close-4003&token=${token("ada")}`, "room=kept:x", "room="]) {
      for (const listen of kinds) {
        const listener = await listen(`http://${server.host}/events?${query}`, OWN);
        await seen("it gave up", async () => await listener.state() === CLOSED);
        assert.deepEqual(await listener.heard(), []);
      }
    }
  },
};
