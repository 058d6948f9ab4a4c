// Another reading of the same RFC: the frames of tests/hostile are played to npm's `ws` as the server, and its
// verdicts have to be those that the cases ask of ours. Where they differ, it is said here why.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { connect } from "node:net";
import { after, before, test } from "node:test";
import { WebSocketServer } from "ws";
import { within } from "../client.mjs";

const MASK = [0x37, 0xfa, 0x21, 0x3d];

/** What `ws` does otherwise, and why ours stays. */
const DIFFERENT = {
  "125 bytes announced in 16 bits": ["echo", "RFC 6455 section 5.2 asks for the shortest form; ws does not look"],
  "65535 bytes announced in 64 bits": [1009, "the same; what it sees is a message beyond its limit"],
  "a length of 64 bits with the top one set": [1009, "RFC 6455 section 5.2 forbids the bit; ws sees a length too large"],
  "all bits of a length set": [1009, "the same"],
  "a frame one byte beyond the limit": ["open", "ws has a limit for messages, none for frames"],
  "a message in more frames than are taken": ["open", "ws takes 16384 frames a message unless told otherwise"],
  "an invalid byte in a frame that is not the last": ["open", "ws looks at the text when it is whole"],
  "an invalid byte in a frame that is not whole": ["open", "the same"],
};

let server;
before(async () => {
  server = new WebSocketServer({ port: 0, host: "127.0.0.1", maxPayload: 2048, perMessageDeflate: false });
  server.on("connection", (socket) => {
    socket.on("message", (data, binary) => socket.send(data, { binary }));
    socket.on("error", () => {});
  });
  await new Promise((resolve) => { server.once("listening", resolve); });
});
after(() => {
  for (const client of server.clients) client.terminate();
  server.close();
});

for (const file of ["frames", "closes", "texts"]) {
  test(`ws judges ${file}.case as it is written, but for what is listed`, async () => {
    const cases = await read(file);
    assert.ok(cases.length >= 15, `${cases.length} cases`);
    for (const { what, bytes, want } of cases) {
      const expected = DIFFERENT[what]?.[0] ?? want;
      assert.equal(await verdict(bytes), expected, `ws is sent ${what}`);
      assert.notEqual(DIFFERENT[what]?.[0], want, `${what} is no difference`);
    }
  });
}

/** The cases of a file that end in a close code on the echo path. */
async function read(file) {
  const text = await readFile(new URL(`../hostile/${file}.case`, import.meta.url), "utf8");
  const blocks = text.split("\n\n").map((block) => block.split("\n").filter((line) => line && !line.startsWith("#")));
  const cases = blocks.filter((lines) => lines.length > 0).map((lines) => {
    const of = (word) => lines.filter((line) => line.startsWith(`${word} `)).map((line) => line.slice(word.length + 1));
    const bytes = Buffer.concat(of("send").map(unescape));
    return { what: of("case")[0].trim(), on: of("on")[0]?.trim(), bytes, want: Number(of("want")[0]) };
  });
  return cases.filter(({ on }) => on === "/echo");
}

/** The code of its close frame; "echo" if it answers first with a message, "open" if with a pong to a last ping. */
function verdict(bytes) {
  const socket = connect(server.address().port, "127.0.0.1");
  const request = "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    + "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
  return within(new Promise((resolve, reject) => {
    let received = Buffer.alloc(0);
    let upgraded = false;
    // Nothing comes for so long: it waits for more.
    let quiet;
    const judge = (code) => { clearTimeout(quiet); resolve(code); };
    socket.on("error", reject);
    socket.on("close", () => judge("cut"));
    socket.on("data", (data) => {
      received = Buffer.concat([received, data]);
      if (!upgraded) {
        const end = received.indexOf("\r\n\r\n");
        if (end < 0) return;
        upgraded = true;
        received = received.subarray(end + 4);
        socket.write(bytes);
        quiet = setTimeout(() => judge("open"), QUIET_MS);
      }
      let last = null;
      while (received.length >= 2) {
        const length = received[1] === 126 ? 4 + received.readUInt16BE(2) : 2 + received[1];
        if (received.length < length) break;
        last = received.subarray(0, length);
        received = received.subarray(length);
        if (last[0] === 0x88) return judge(last.length >= 4 ? last.readUInt16BE(2) : 1000);
      }
      if (last) {
        // A message came first; a close may follow.
        clearTimeout(quiet);
        quiet = setTimeout(() => judge("echo"), QUIET_MS);
      }
    });
    socket.write(request);
  }), "a verdict").finally(() => socket.destroy());
}

const QUIET_MS = 300;

/** The bytes of a `send` line: tests/hostile/README.md explains the words. */
function unescape(text) {
  let at = 0;
  const inside = () => {
    const parts = [];
    while (text[at] !== ")") parts.push(piece());
    at += 1;
    return Buffer.concat(parts);
  };
  const piece = () => {
    const rest = text.slice(at);
    const repeat = /^repeat\((\d+),/.exec(rest);
    if (repeat) {
      at += repeat[0].length;
      const once = inside();
      return Buffer.concat(Array(Number(repeat[1])).fill(once));
    }
    for (const [word, make] of [["mask(", masked], ["text(", framed]]) {
      if (rest.startsWith(word)) {
        at += word.length;
        return make(inside());
      }
    }
    const escape = /^\\(?:x([0-9a-f]{2})|([rnt\\)]))/.exec(rest);
    if (escape) {
      at += escape[0].length;
      if (escape[1]) return Buffer.from(escape[1], "hex");
      return Buffer.from({ r: "\r", n: "\n", t: "\t" }[escape[2]] ?? escape[2]);
    }
    const character = String.fromCodePoint(rest.codePointAt(0));
    at += character.length;
    return Buffer.from(character);
  };
  const parts = [];
  while (at < text.length) parts.push(piece());
  return Buffer.concat(parts);
}

function masked(bytes) {
  return Buffer.concat([Buffer.from(MASK), bytes.map((byte, n) => byte ^ MASK[n % 4])]);
}

function framed(bytes) {
  const length = bytes.length < 126 ? [0x80 | bytes.length] : [0xfe, bytes.length >> 8, bytes.length & 0xff];
  return Buffer.concat([Buffer.from([0x81, ...length]), masked(bytes)]);
}
