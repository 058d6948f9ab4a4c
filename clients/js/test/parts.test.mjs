// The parts that know no connection: the close table, the back-off, positions, blocks, tokens, addresses.
import assert from "node:assert/strict";
import { test } from "node:test";
import { eventsUrl, socketUrl } from "../build/address.js";
import { BlockReader } from "../build/blocks.js";
import { Cursor } from "../build/position.js";
import { backOffMs, longBackOffMs, retryHintMs, verdictOf } from "../build/retry.js";
import { lastsMs } from "../build/token.js";

test("every close code means what the protocol says", () => {
  const table = [
    [1000, "", "back off"], [1001, "retry=2500", "hinted"], [1001, "", "back off"], [1001, "retry=soon", "back off"],
    [1002, "", "refused message"], [1003, "", "refused message"], [1006, "", "back off"], [1007, "", "refused message"],
    [1008, "", "stop"], [1009, "", "refused message"], [1011, "", "back off"], [1012, "", "back off"], [1013, "", "back off"],
    [4001, "Unauthorized", "stop"], [4003, "", "stop"], [4008, "", "back off"], [4010, "", "fresh token"],
    [4029, "", "back off long"], [4500, "", "back off"],
  ];
  for (const [code, reason, verdict] of table) assert.equal(verdictOf(code, reason), verdict, `${code} ${reason}`);
});

test("a hint is taken from the reason, and bounded", () => {
  assert.equal(retryHintMs("retry=2500"), 2500);
  assert.equal(retryHintMs("retry=999999999"), 300_000);
  for (const other of ["", "retry=", "retry=-1", "retry=1s", " retry=1", "retry=9999999999"]) assert.equal(retryHintMs(other), undefined, other);
});

test("the back-off doubles, keeps its ceiling and is spread over all of its step", () => {
  for (const [attempt, step] of [[0, 1000], [1, 2000], [4, 16_000], [5, 30_000], [2000, 30_000]]) {
    assert.equal(backOffMs(attempt, 1000, 30_000, () => 0), 0);
    assert.equal(backOffMs(attempt, 1000, 30_000, () => 1), step);
    assert.equal(backOffMs(attempt, 1000, 30_000, () => 0.25), step / 4);
  }
  assert.deepEqual([0, 1].map((drawn) => longBackOffMs(30_000, () => drawn)), [30_000, 60_000]);
});

const at = (offset, epoch = "0000000a") => `${epoch}-${offset}`;

test("a publication is new once, and seen from then on", () => {
  const cursor = new Cursor(at(4));
  assert.deepEqual([4, 5, 5, 4, 6].map((offset) => cursor.receive(at(offset))), ["seen", "new", "seen", "seen", "new"]);
  assert.equal(cursor.text, at(6));
  assert.equal(cursor.receive(undefined), "new");
});

test("a position of another epoch cannot be compared, and is where one stands from then on", () => {
  const cursor = new Cursor(at(100));
  assert.equal(cursor.receive(at(1, "0000000b")), "new");
  assert.equal(cursor.text, at(1, "0000000b"));
});

test("own broadcasts are known again by the positions of their acks", () => {
  const cursor = new Cursor(at(2));
  // 3 is somebody else's and on its way: the ack of 4 overtook it.
  cursor.acknowledge(at(4));
  assert.equal(cursor.text, at(2));
  assert.deepEqual([3, 4, 5].map((offset) => cursor.receive(at(offset))), ["new", "seen", "new"]);
  cursor.acknowledge(at(9));
  assert.deepEqual([8, 9, 10].map((offset) => cursor.receive(at(offset))), ["new", "seen", "new"]);
});

test("an own broadcast that comes back in a replay is dropped, whatever was excluded before it", () => {
  const cursor = new Cursor(at(2));
  cursor.acknowledge(at(5));
  assert.deepEqual([3, 5, 6].map((offset) => cursor.receive(at(offset))), ["new", "own", "new"]);
});

test("acks alone move the cursor where nobody else spoke", () => {
  const cursor = new Cursor(at(2));
  for (let offset = 3; offset < 5000; offset += 1) cursor.acknowledge(at(offset));
  assert.equal(cursor.text, at(4999));
});

test("acks of another epoch, and of what was passed, say nothing", () => {
  const cursor = new Cursor(at(2));
  cursor.acknowledge(at(3, "0000000b"));
  cursor.acknowledge(at(1));
  assert.equal(cursor.receive(at(3)), "new");
  const none = new Cursor();
  none.acknowledge(at(1));
  assert.equal(none.text, undefined);
});

test("what was one's own in another epoch is not in this one", () => {
  const cursor = new Cursor(at(2));
  cursor.acknowledge(at(5));
  cursor.stand(at(4, "0000000b"));
  assert.equal(cursor.receive(at(5, "0000000b")), "new");
});

test("a cursor stands where it is told", () => {
  const cursor = new Cursor("earliest");
  assert.equal(cursor.text, undefined);
  cursor.stand(at(7));
  cursor.stand(undefined);
  assert.equal(cursor.text, at(7));
  cursor.stand(at(3));
  assert.equal(cursor.text, at(3));
});

const STREAM = [
  "retry: 1500\nevent: connected\ndata: {\"userId\":\"ada\"}\n\n",
  ":heartbeat\n\n",
  "id: 0000000a-1,\n\n",
  "room: chat: 1\nevent: typing\ndata: {\ndata:  \"a\": 1}\nid: 0000000a-2,\n\n",
  "data\n\n",
  "data:x\nunknown: y\n\n",
].join("");

const BLOCKS = [
  { retry: 1500, event: "connected", data: '{"userId":"ada"}' },
  { id: "0000000a-1," },
  { room: "chat: 1", event: "typing", data: '{\n "a": 1}', id: "0000000a-2," },
  { data: "" },
  { data: "x" },
];

test("a stream is read alike whatever ends its lines, and wherever it is cut", () => {
  for (const end of ["\n", "\r\n", "\r"]) {
    const text = STREAM.replaceAll("\n", end);
    for (let cut = 0; cut <= text.length; cut += 1) {
      const reader = new BlockReader();
      const blocks = [...reader.read(text.slice(0, cut)), ...reader.read(text.slice(cut))];
      assert.deepEqual(blocks, BLOCKS, `cut at ${cut} of ${JSON.stringify(end)}`);
    }
    const bytewise = new BlockReader();
    assert.deepEqual([...text].flatMap((sign) => bytewise.read(sign)), BLOCKS);
  }
});

test("what a stream must not say is passed over", () => {
  const reader = new BlockReader();
  assert.deepEqual(reader.read("id: a\0b\nretry: 1e3\nretry:\ndata: 1\n\n"), [{ data: "1" }]);
  assert.deepEqual(reader.read("data: unfinished\n"), []);
});

const jwt = (claims) => `e30.${Buffer.from(JSON.stringify(claims)).toString("base64url")}.sig`;

test("a token tells how long it lasts, if it can be read", () => {
  const now = 1_700_000_000_000;
  assert.equal(lastsMs(jwt({ exp: 1_700_000_060, name: "Zoë ÿ>?" }), now), 60_000);
  assert.equal(lastsMs(jwt({ exp: 1_700_003_600, iat: 1_700_003_000 }), now), 600_000, "a clock that is behind");
  assert.equal(lastsMs(jwt({ exp: 1_699_999_000 }), now), -1_000_000);
  for (const other of ["", "opaque", "a.b.c", jwt({}), jwt({ exp: "1" }), jwt(null)]) assert.equal(lastsMs(other, now), undefined, other);
});

test("addresses are completed", () => {
  assert.equal(socketUrl("wss://a.example/ws"), "wss://a.example/ws");
  assert.equal(socketUrl("https://a.example"), "wss://a.example/ws");
  assert.equal(socketUrl(new URL("http://a.example:8080/edge/socket#x")), "ws://a.example:8080/edge/socket");
  assert.throws(() => socketUrl("/ws"), TypeError);
  assert.equal(eventsUrl("wss://a.example/edge/ws?x=1", undefined), "https://a.example/edge/events");
  assert.equal(eventsUrl("ws://a.example/ws", "/hear"), "http://a.example/hear");
  assert.equal(eventsUrl("ws://a.example/ws", "https://b.example/events"), "https://b.example/events");
});
