// A small chat behind Vestibule, the application's side of it: node chat.mjs [PORT]
import { createHmac, timingSafeEqual } from "node:crypto";
import { appendFileSync, existsSync, readFileSync } from "node:fs";
import { createServer } from "node:http";

const SECRET = process.env.HOOKS_SECRET ?? "whsec_YW4gZXhhbXBsZSBzZWNyZXQ6IG1ha2UgeW91ciBvd24=";
const KEY = Buffer.from(SECRET.replace(/^whsec_/, ""), "base64");
const FILE = process.env.CHAT_FILE ?? "messages.jsonl";
const SESSIONS = new Map([["token-of-ada", "ada"], ["token-of-grace", "grace"]]); // yours are in a database
const ROOMS = new Map([["chat:lobby", ["ada", "grace"]], ["chat:staff", ["ada"]]]);
const online = new Set();

function isGenuine(headers, body) {
  const { "webhook-id": name = "", "webhook-timestamp": at = "", "webhook-signature": signatures = "" } = headers;
  if (!/^\d+$/.test(at) || Math.abs(Date.now() / 1000 - Number(at)) > 300) return false;
  const digest = createHmac("sha256", KEY).update(`${name}.${at}.`).update(body).digest("base64");
  const expected = Buffer.from(`v1,${digest}`);
  return signatures.split(" ").some((each) => {
    const sent = Buffer.from(each);
    return sent.length === expected.length && timingSafeEqual(sent, expected);
  });
}

function saved() {
  if (!existsSync(FILE)) return [];
  return readFileSync(FILE, "utf8").split("\n").filter(Boolean).map((line) => JSON.parse(line));
}

/** Once, however often it comes: a call that is made again has the same name. */
function save(name, message) {
  const messages = saved();
  const earlier = messages.find((each) => each.name === name);
  if (earlier) return earlier;
  const numbered = { name, number: messages.length + 1, ...message };
  appendFileSync(FILE, `${JSON.stringify(numbered)}\n`);
  return numbered;
}

const count = () => [{ room: "chat:lobby", event: "online", payload: online.size }];

function answer(name, { type, data }) {
  const mayEnter = (room) => ROOMS.get(room)?.includes(data.user) ?? false;
  if (type === "connect" && SESSIONS.has(data.token)) {
    online.add(data.request);
    return { allow: true, userId: SESSIONS.get(data.token), join: ["chat:lobby"], publish: count() };
  }
  if (type === "join" && mayEnter(data.room)) return { allow: true };
  const { room, text } = data.payload ?? {};
  if (type === "message" && data.event === "say" && typeof text === "string" && mayEnter(room)) {
    const message = save(name, { room, from: data.user, text });
    const said = { room, event: "say", payload: message, except: { connections: [data.connection] } };
    return { reply: message.number, publish: [said] };
  }
  if (type === "disconnect") {
    online.delete(data.request);
    return { publish: count() };
  }
  return { allow: false, reason: "not for you" };
}

createServer(async (request, response) => {
  const send = (status, value) => response.writeHead(status).end(JSON.stringify(value));
  if (request.method === "GET") return send(200, saved().filter(({ room }) => room === "chat:lobby"));
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  const body = Buffer.concat(chunks);
  if (request.url !== "/hooks" || !isGenuine(request.headers, body)) return send(401, { error: "not signed" });
  send(200, answer(request.headers["webhook-id"], JSON.parse(body)));
}).listen(Number(process.argv[2] ?? 3000), "127.0.0.1");
