// The chat page of `vestibule demo`, by the client that every node serves, to be read as an example.
//
// `enter` connects and joins; from then on the client says what happens, and the page shows it. The client comes
// back by itself, and what was said meanwhile comes with it. Foreign text is written through `textContent` only.
import { connect } from "/vestibule.js";

const LOG_ENTRIES_MAX = 500;
const PING_EVERY_MS = 2_000;
const TOKEN_WITHIN_MS = 15_000;

const page = Object.fromEntries(
  ["entry", "entry-form", "entry-error", "name", "room", "chat", "room-title", "user", "invite", "leave", "state",
    "rtt", "shard", "log", "notice-box", "notice", "reconnect", "composer", "text", "send"]
    .map((id) => [id, document.getElementById(id)]),
);

let client = null;
let chat = null;
let me = "";
let pinging = 0;

// --- the connection ---------------------------------------------------------

async function enter(name, room) {
  me = name;
  page["entry-error"].textContent = "";
  page["room-title"].textContent = room;
  page.user.textContent = name;
  page.invite.href = `/?room=${encodeURIComponent(room)}`;
  page.log.replaceChildren();
  page.entry.hidden = true;
  page.chat.hidden = false;
  document.title = `${room} · Vestibule chat`;
  // A reload comes back to the same room.
  history.replaceState(null, "", `/?name=${encodeURIComponent(name)}&room=${encodeURIComponent(room)}`);
  page.text.focus();
  const own = connect("/ws", { token: () => freshToken(own, name), pingIntervalMs: 5_000, pingTimeoutMs: 7_000 });
  client = own;
  own.on("state", (state) => { if (client === own) showState(state); });
  own.on("error", ({ message }) => notify(`The server refused something: ${message}.`));
  pinging = setInterval(() => measure(own), PING_EVERY_MS);
  try {
    const joined = await own.join(room, { since: "earliest" });
    joined.on("open", () => { if (client === own) showFacts("joined", "connected"); });
    joined.on("*", showForeign);
    joined.on("gap", () => tell("Some messages were missed."));
    joined.on("close", ({ error }) => { if (error && client === own) stop(`the room was refused: ${error.message}`); });
    chat = joined;
  } catch (error) {
    // What ended the client, it has told already.
    if (client === own && own.state.status !== "closed") stop(`the room was refused: ${error.message}`);
  }
}

// What an application's own backend would do for a user who has logged in.
async function freshToken(own, name) {
  const response = await fetch(`/token?user=${encodeURIComponent(name)}`, {
    cache: "no-store",
    signal: AbortSignal.timeout(TOKEN_WITHIN_MS),
  }).catch(() => {
    throw new Error("the server does not answer");
  });
  if (response.ok) return (await response.json()).token;
  const why = `no token for this name (HTTP ${response.status})`;
  // There will be none another time either.
  if (response.status < 500 && response.status !== 429 && client === own) stop(why);
  throw new Error(why);
}

async function measure(own) {
  const ms = await own.ping().catch(() => null);
  if (client === own && ms !== null) page.rtt.textContent = ms < 10 ? `${ms.toFixed(1)} ms` : `${Math.round(ms)} ms`;
}

function disconnect() {
  clearInterval(pinging);
  const ended = client;
  client = null;
  chat = null;
  ended?.close();
}

function meaningOfClose(code, reason) {
  const meanings = {
    1001: "the server is going away",
    1008: "a policy of the server",
    1011: "an error in the server",
    1013: "the server is overloaded",
    4001: "unauthorized",
    4003: "forbidden",
    4008: "this tab read too slowly",
    4010: "the token expired",
    4029: "too many messages",
  };
  if (code === 1006) return reason || "the connection was lost (1006)";
  return `${meanings[code] ?? (reason || "closed")} (${code})`;
}

// --- the page ---------------------------------------------------------------

function leave(error = "") {
  disconnect();
  notify("");
  showFacts("idle", "idle");
  page.chat.hidden = true;
  page.entry.hidden = false;
  page["entry-error"].textContent = error;
  document.title = "Vestibule chat";
  history.replaceState(null, "", "/");
  page.name.focus();
}

// What was said stays readable once there was something to read.
function stop(why) {
  const wasJoined = chat !== null;
  disconnect();
  if (!wasJoined) return leave(`Could not join: ${why}.`);
  showFacts("stopped", "stopped");
  notify(`Stopped: ${why}.`);
}

function showState(state) {
  switch (state.status) {
    case "connecting":
      showFacts("connecting", "connecting");
      break;
    case "open":
      page.user.textContent = state.userId;
      page.shard.textContent = state.shard ?? "–";
      showFacts("connected", "joining");
      notify(state.transport === "sse" ? "WebSocket is blocked here: you hear, and cannot speak." : "");
      break;
    case "waiting": {
      const seconds = Math.ceil(state.retryInMs / 1000);
      showFacts("waiting", "waiting");
      notify(`Not connected: ${meaningOfClose(state.code, state.reason)}. Trying again in ${seconds} s.`, "Reconnect now");
      break;
    }
    case "closed":
      if (state.error) stop(meaningOfClose(state.error.closeCode, state.error.message));
      break;
  }
}

function showFacts(state, word) {
  page.state.dataset.state = state;
  page.state.textContent = word;
  page.send.disabled = state !== "joined" || client.state.transport !== "websocket";
  if (state !== "joined" && state !== "connected") {
    page.rtt.textContent = "–";
    page.shard.textContent = "–";
  }
}

function notify(text, button = "") {
  page.notice.textContent = text;
  page.reconnect.hidden = button === "";
  page["notice-box"].hidden = text === "";
}

// --- the log ----------------------------------------------------------------

// Own messages that the server has not answered stand last; an answered one
// takes its place above them, about where the room's order has it.
function append(item, pending) {
  const { log } = page;
  const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 60;
  const next = pending ? null : log.querySelector('[data-status="pending"]');
  // Moved only if it must: a screen reader reads what is put in anew.
  if (!item.isConnected || item.nextElementSibling !== next) log.insertBefore(item, next);
  while (log.childElementCount > LOG_ENTRIES_MAX) log.firstElementChild.remove();
  if (atEnd || item.classList.contains("own")) log.scrollTop = log.scrollHeight;
}

function element(tag, className, text = "") {
  const made = document.createElement(tag);
  made.className = className;
  made.textContent = text;
  return made;
}

function entryOf(from, text, own) {
  const item = element("li", own ? "own" : "");
  item.dataset.testid = "message";
  item.dataset.own = String(own);
  const sender = element("span", "from", from);
  sender.dataset.testid = "message-from";
  const body = element("span", "text", text);
  body.dataset.testid = "message-text";
  item.append(sender, body);
  return item;
}

// A room is open to any client: what is not a chat message of ours is shown as it is.
function showForeign(payload) {
  const ours = typeof payload?.from === "string" && typeof payload?.text === "string";
  const item = ours
    ? entryOf(payload.from, payload.text, payload.from === me)
    : entryOf("someone", JSON.stringify(payload) ?? "", false);
  item.dataset.status = "received";
  append(item, false);
}

function tell(text) {
  const item = element("li", "told", text);
  item.dataset.testid = "told";
  append(item, false);
}

// A broadcast goes to the others only: this tab shows its own, and the ack
// says that it was taken.
async function say(text) {
  const via = chat;
  const item = entryOf(me, text, true);
  const status = element("span", "status", "sending");
  item.dataset.status = "pending";
  item.append(status);
  append(item, true);
  try {
    await via.publish({ from: me, text }, { event: "chat" });
    item.dataset.status = "sent";
    status.textContent = "";
    if (item.isConnected) append(item, false);
  } catch (error) {
    item.dataset.status = "failed";
    status.textContent = `Not confirmed: ${error.message}. `;
    const again = element("button", "link", "Send again");
    again.type = "button";
    again.addEventListener("click", () => {
      if (page.send.disabled) return;
      item.remove();
      say(text);
    });
    status.append(again);
  }
}

page["entry-form"].addEventListener("submit", (event) => {
  event.preventDefault();
  const name = page.name.value.trim();
  const room = page.room.value.trim();
  if (name && room) enter(name, room);
});

page.composer.addEventListener("submit", (event) => {
  event.preventDefault();
  const text = page.text.value;
  // What cannot be sent now stays in the field.
  if (page.send.disabled || text.trim() === "") return;
  page.text.value = "";
  say(text);
});

page.leave.addEventListener("click", () => leave());
page.reconnect.addEventListener("click", () => client?.reconnect());

const asked = new URLSearchParams(location.search);
page.name.value = asked.get("name")?.trim() ?? "";
page.room.value = asked.get("room")?.trim() || page.room.value;
if (asked.has("name") && asked.has("room") && page.name.value) enter(page.name.value, page.room.value);
else page.name.focus();
