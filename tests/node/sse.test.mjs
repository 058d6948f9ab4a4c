// Server-Sent Events as npm's eventsource reads them, and a reader over fetch.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Client } from "../client.mjs";
import { token } from "../server.mjs";
import { SCENARIOS, npmListener, serveStreams } from "../streams.mjs";

// What eventsource stands on came with it.
const skip = Number(process.versions.node.split(".")[0]) < 20 && "eventsource needs Node.js 20 or newer";

let server;

before(async () => { server = await serveStreams(); });

after(async () => {
  if (server) assert.deepEqual(await server.stop(), { code: 0, signal: null }, server.output);
});

for (const [what, run] of Object.entries(SCENARIOS)) {
  test(what, { skip }, () => run(server, [npmListener], serveStreams));
}

test("a reader over fetch sees of which room each event is", async () => {
  const stop = new AbortController();
  const response = await fetch(`http://${server.host}/events?room=kept:f&room=g`, {
    headers: { authorization: `Bearer ${token("ada")}` },
    signal: stop.signal,
  });
  assert.equal(response.status, 200);
  assert.equal(response.headers.get("content-type"), "text/event-stream");
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  const upTo = async (mark) => {
    while (!text.includes(mark)) {
      const { value, done } = await reader.read();
      assert.ok(!done, text);
      text += value;
    }
  };
  await upTo("\n\nid: ");
  const speaker = await Client.enter(server, token("bob"));
  const answer = await speaker.request({ type: "broadcast", id: 1, room: "g", event: "say", payload: 1 });
  assert.equal(answer.type, "ack");
  await upTo("room: g\nevent: say\ndata: 1\n\n");
  stop.abort();
  await speaker.leave();
});
