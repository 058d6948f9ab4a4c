// A small chat behind Vestibule. Needs Node.js alone, and the key in hooks.key; keeps all it knows in chat.jsonl.
import { createHmac, timingSafeEqual } from "node:crypto";
import { appendFileSync, readFileSync } from "node:fs";
import { createServer } from "node:http";

const KEY = Buffer.from(readFileSync("hooks.key", "utf8").trim().replace("whsec_", ""), "base64");
const SESSIONS = new Map([["session-of-ada", "ada"], ["session-of-ben", "ben"]]);           // your sessions
const ROOMS = new Map([["chat:lobby", ["ada", "ben"]], ["chat:staff", ["ada"]]]);           // and who may be where

const messages = new Map();     // what was said, by the webhook-id of its call
const gone = new Set();         // requests whose connections have ended
let present = [];               // who joined where, by which request, as which of its events

// What calls change. Each change is a line of the file; made twice, or late, it undoes nothing that is newer.
const changes = {
  said: ({ call, ...message }) => messages.set(call, message),
  joined(it) {
    if (!gone.has(it.request)) present.push(it);
  },
  left({ request, room, number }) {
    present = present.filter((it) => it.request !== request || it.room !== room || it.number > number);
  },
  ended({ request }) {
    gone.add(request);
    present = present.filter((it) => it.request !== request);
  },
};
const lines = readFileSync("chat.jsonl", { encoding: "utf8", flag: "a+" }).split("\n").filter(Boolean);
for (const [what, how] of lines.map((line) => JSON.parse(line))) changes[what](how);

function change(what, how) {
  appendFileSync("chat.jsonl", `${JSON.stringify([what, how])}\n`);
  changes[what](how);
}

const refuse = (reason) => ({ allow: false, reason });
const isInvited = (user, room) => ROOMS.get(room)?.includes(user);
const users = (room) => [...new Set(present.filter((it) => it.room === room).map((it) => it.user))].sort();
const here = (room) => ({ room, event: "here", payload: users(room) });     // told when somebody comes or goes

const hooks = {
  connect: ({ token: it }) => SESSIONS.has(it) ? { allow: true, userId: SESSIONS.get(it) } : refuse("no such session"),
  join({ request, user, room }, call, number) {
    if (!isInvited(user, room)) return refuse("you are not invited");
    change("joined", { request, user, room, number });
    return { allow: true, publish: [here(room)] };
  },
  message({ connection, user, event, payload }, call) {
    const { room, text } = payload ?? {};
    if (!isInvited(user, room)) return refuse("you are not invited");
    if (event === "who") return { reply: users(room) };
    const isText = typeof text === "string" && text !== "" && text.length <= 1000;
    if (event !== "say" || !isText) return refuse("say something, in 1000 characters at most");
    if (!messages.has(call)) change("said", { call, id: messages.size + 1, room, user, text });
    const { id } = messages.get(call), except = { connections: [connection] };
    return { publish: [{ room, event: "said", payload: { id, user, text }, except }], reply: { id } };
  },
  leave({ request, room }, call, number) {
    change("left", { request, room, number });
    return { publish: [here(room)] };
  },
  disconnect({ request, rooms }) {
    change("ended", { request });
    return { publish: rooms.map(here) };
  },
};

async function answer(request, response) {
  const body = Buffer.concat(await request.toArray());
  const [call, at, theirs] = ["id", "timestamp", "signature"].map((it) => request.headers[`webhook-${it}`] ?? "");
  const ours = `v1,${createHmac("sha256", KEY).update(`${call}.${at}.`).update(body).digest("base64")}`;
  const isOurs = theirs.length === ours.length && timingSafeEqual(Buffer.from(theirs, "latin1"), Buffer.from(ours));
  if (!isOurs || Math.abs(Date.now() / 1000 - at) > 300) return response.writeHead(400).end();
  const { type, data } = JSON.parse(body), number = Number(call.split("_")[2]);     // among its connection's events
  response.end(JSON.stringify(hooks[type](data, call, number)));
}
createServer((request, response) => answer(request, response).catch(() => response.destroy()))
  .listen(process.env.PORT ?? 3000, "127.0.0.1");
