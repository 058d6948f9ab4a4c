// The chat page of `vestibule demo`: a whole client of the native WebSocket
// protocol in one file, without a build step, to be read as an example.
//
// `Link` owns the socket: it fetches the token, connects, matches answers to
// requests, measures the round trip and comes back after a close. It never
// touches the page. The second half is the page: it shows what the link says,
// and writes foreign text through `textContent` only.
"use strict";

// --- coming back ------------------------------------------------------------

const BACKOFF_BASE_MS = 500;
const BACKOFF_MAX_MS = 15_000;
const LONG_BACKOFF_FLOOR_MS = 5_000;
const LONG_BACKOFF_BASE_MS = 10_000;
const LONG_BACKOFF_MAX_MS = 60_000;
const RETRY_HINT_MAX_MS = 300_000;
// A server that accepts and closes at once must not be met with attempt 0 forever.
const STEADY_AFTER_MS = 5_000;

/// What to do after close `code`: "stop", "at once", "hinted", "back off" or "back off long".
function verdictOfClose(code, reason) {
  switch (code) {
    case 1008: case 4001: case 4003: return "stop";
    case 1001: return retryHintMs(reason) === null ? "back off" : "hinted";
    case 4010: return "at once";
    case 4029: return "back off long";
    // 1002, 1003, 1007, 1009: the message was refused, and none is ever sent twice here.
    // 1006 (no close frame), 1011, 1013, 4008 and whatever a proxy invents: try again.
    default: return "back off";
  }
}

/// The milliseconds in a reason `retry=MS`, or null.
function retryHintMs(reason) {
  const found = /^retry=(\d{1,9})$/.exec(reason);
  return found ? Math.min(Number(found[1]), RETRY_HINT_MAX_MS) : null;
}

/// Exponential back-off with full jitter: anything from nothing to the whole
/// step, so that those who were cut off together do not come back together.
function jittered(baseMs, maxMs, attempt) {
  return Math.random() * Math.min(maxMs, baseMs * 2 ** attempt);
}

function meaningOfClose(code, reason) {
  const meanings = {
    1001: "the server is going away",
    1002: "a protocol error",
    1003: "a kind of message that is not taken",
    1006: "the connection was lost",
    1007: "text that is not UTF-8",
    1008: "a policy of the server",
    1009: "a message too big",
    1011: "an error in the server",
    1013: "the server is overloaded",
    4001: "unauthorized",
    4003: "forbidden",
    4008: "this tab read too slowly",
    4010: "the token expired",
    4029: "too many messages",
  };
  const meaning = meanings[code] ?? reason;
  return meaning ? `${meaning} (${code})` : `close code ${code}`;
}

// --- the link ---------------------------------------------------------------

const PING_EVERY_MS = 2_000;
const PONG_WITHIN_MS = 12_000;
const CONNECT_WITHIN_MS = 15_000;

/// A connection to one room that keeps coming back until it is stopped.
///
/// `on.state(state, detail)`: "connecting", "connected", "joined", "waiting", "stopped".
/// `on.connected({userId, connection, shard})`, `on.message(payload)`, `on.gap()`,
/// `on.rtt(ms)`, `on.complaint(text)`.
class Link {
  #user; #room; #on;
  #socket = null;
  #requests = new Map();
  #nextId = 1;
  #attempt = 0;
  #timers = { retry: 0, steady: 0, ping: 0, connect: 0 };
  #pingSentAt = null;
  #stopped = false;

  constructor(user, room, on) {
    this.#user = user;
    this.#room = room;
    this.#on = on;
  }

  /// Connects, now, unless a connection is there or on its way.
  async connect() {
    if (this.#stopped || this.#socket !== null) return;
    clearTimeout(this.#timers.retry);
    // Taken before the first await: a second call must see that one is on its way.
    this.#socket = "opening";
    this.#on.state("connecting");
    let token;
    try {
      token = await this.#freshToken();
    } catch (error) {
      this.#socket = null;
      if (error.final) this.#stop(error.message);
      else this.#retry(this.#backOff(), error.message);
      return;
    }
    // Stopped meanwhile.
    if (this.#stopped) return;
    this.#open(token);
  }

  /// Broadcasts to the others in the room; settles with the server's answer.
  broadcast(event, payload) {
    return this.#request({ type: "broadcast", room: this.#room, event, payload });
  }

  /// Leaves for good.
  stop() {
    this.#stopped = true;
    Object.values(this.#timers).forEach(clearTimeout);
    if (this.#socket instanceof WebSocket) this.#socket.close(1000);
    this.#dropSocket("left the room");
  }

  // A token is fetched for each attempt: the last one may be what expired, or
  // belong to a server that was restarted with another key.
  async #freshToken() {
    let response;
    try {
      response = await fetch(`/token?user=${encodeURIComponent(this.#user)}`, {
        cache: "no-store",
        signal: AbortSignal.timeout(CONNECT_WITHIN_MS),
      });
    } catch {
      throw new Error("the server does not answer");
    }
    if (response.ok) {
      const answer = await response.json().catch(() => null);
      if (typeof answer?.token === "string") return answer.token;
      throw new Error("the server's token could not be read");
    }
    const error = new Error(`no token for this name (HTTP ${response.status})`);
    error.final = response.status >= 400 && response.status < 500 && response.status !== 429;
    throw error;
  }

  #open(token) {
    const scheme = location.protocol === "https:" ? "wss:" : "ws:";
    const socket = new WebSocket(`${scheme}//${location.host}/ws?token=${encodeURIComponent(token)}`);
    this.#socket = socket;
    this.#timers.connect = setTimeout(() => this.#lost(socket, 1006, ""), CONNECT_WITHIN_MS);
    socket.onmessage = ({ data }) => this.#receive(socket, data);
    socket.onclose = ({ code, reason }) => this.#lost(socket, code, reason);
  }

  #receive(socket, data) {
    if (socket !== this.#socket) return;
    let message;
    try {
      message = JSON.parse(data);
    } catch {
      this.#on.complaint("The server sent something that is not JSON.");
      return;
    }
    switch (message.type) {
      case "connected": this.#welcomed(socket, message); break;
      case "ack": this.#answer(message.id, (request) => request.resolve(message)); break;
      case "error": this.#refused(message); break;
      case "message": if (message.room === this.#room) this.#on.message(message.payload); break;
      case "gap": if (message.room === this.#room) this.#on.gap(); break;
      case "pong": this.#pong(); break;
      // A newer server may say more than this page knows.
      default: break;
    }
  }

  async #welcomed(socket, message) {
    clearTimeout(this.#timers.connect);
    this.#on.connected(message);
    this.#on.state("connected");
    this.#ping(socket);
    try {
      await this.#request({ type: "join", room: this.#room });
    } catch (error) {
      // A lost connection comes back by itself; a refusal is the server's last word.
      if (error.code !== undefined && socket === this.#socket) this.#stop(`the room was refused: ${error.message}`);
      return;
    }
    if (socket !== this.#socket) return;
    this.#on.state("joined");
    this.#timers.steady = setTimeout(() => { this.#attempt = 0; }, STEADY_AFTER_MS);
  }

  #request(body) {
    return new Promise((resolve, reject) => {
      if (!(this.#socket instanceof WebSocket) || this.#socket.readyState !== WebSocket.OPEN) {
        reject(new Error("not connected"));
        return;
      }
      const id = this.#nextId++;
      this.#requests.set(id, { resolve, reject });
      this.#socket.send(JSON.stringify({ ...body, id }));
    });
  }

  #answer(id, settle) {
    const request = this.#requests.get(id);
    if (request === undefined) return false;
    this.#requests.delete(id);
    settle(request);
    return true;
  }

  #refused({ id, code, message }) {
    const error = Object.assign(new Error(message ?? code), { code });
    if (!this.#answer(id, (request) => request.reject(error))) {
      this.#on.complaint(`The server refused something: ${message ?? code}.`);
    }
  }

  // A pong bears no name, so one ping is out at a time; one that stays out
  // means that the connection is dead and nobody told.
  #ping(socket) {
    if (socket !== this.#socket || socket.readyState !== WebSocket.OPEN) return;
    const now = performance.now();
    if (this.#pingSentAt === null) {
      this.#pingSentAt = now;
      socket.send('{"type":"ping"}');
    } else if (now - this.#pingSentAt > PONG_WITHIN_MS) {
      socket.close();
      this.#lost(socket, 1006, "");
      return;
    }
    this.#timers.ping = setTimeout(() => this.#ping(socket), PING_EVERY_MS);
  }

  #pong() {
    if (this.#pingSentAt === null) return;
    this.#on.rtt(performance.now() - this.#pingSentAt);
    this.#pingSentAt = null;
  }

  #lost(socket, code, reason) {
    if (socket !== this.#socket) return;
    socket.close();
    this.#dropSocket("the connection was lost before the answer came");
    const why = meaningOfClose(code, reason);
    switch (verdictOfClose(code, reason)) {
      case "stop": this.#stop(why); break;
      case "hinted": this.#retry(retryHintMs(reason), why); break;
      // At once, but only once: a fresh token that is refused as well waits its turn.
      case "at once":
        this.#retry(this.#attempt === 0 ? 0 : this.#backOff(), why);
        this.#attempt ||= 1;
        break;
      case "back off long":
        // The floor is for the server, the jitter for the others that it cut off.
        this.#retry(LONG_BACKOFF_FLOOR_MS + jittered(LONG_BACKOFF_BASE_MS, LONG_BACKOFF_MAX_MS, this.#attempt++), why);
        break;
      default: this.#retry(this.#backOff(), why);
    }
  }

  #backOff() {
    return jittered(BACKOFF_BASE_MS, BACKOFF_MAX_MS, this.#attempt++);
  }

  #retry(delayMs, why) {
    this.#on.state("waiting", { why, delayMs });
    this.#timers.retry = setTimeout(() => this.connect(), delayMs);
  }

  #stop(why) {
    this.stop();
    this.#on.state("stopped", { why });
  }

  #dropSocket(why) {
    this.#socket = null;
    this.#pingSentAt = null;
    clearTimeout(this.#timers.connect);
    clearTimeout(this.#timers.steady);
    clearTimeout(this.#timers.ping);
    const unanswered = [...this.#requests.values()];
    this.#requests.clear();
    for (const request of unanswered) request.reject(new Error(why));
  }
}

// --- the page ---------------------------------------------------------------

const LOG_ENTRIES_MAX = 500;

const page = Object.fromEntries(
  ["entry", "entry-form", "entry-error", "name", "room", "chat", "room-title", "user", "invite", "leave", "state",
    "rtt", "shard", "log", "notice-box", "notice", "reconnect", "composer", "text", "send"]
    .map((id) => [id, document.getElementById(id)]),
);

let link = null;
let me = "";
let wasJoined = false;

function enter(name, room) {
  me = name;
  wasJoined = false;
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
  link = new Link(name, room, {
    state: showState,
    connected: ({ userId, shard }) => {
      page.user.textContent = userId;
      page.shard.textContent = String(shard);
    },
    message: showForeign,
    gap: () => tell("Some messages were missed."),
    rtt: (ms) => { page.rtt.textContent = ms < 10 ? `${ms.toFixed(1)} ms` : `${Math.round(ms)} ms`; },
    complaint: (text) => notify(text),
  });
  link.connect();
}

function leave(error = "") {
  link?.stop();
  link = null;
  notify("");
  showFacts("idle", "idle");
  page.chat.hidden = true;
  page.entry.hidden = false;
  page["entry-error"].textContent = error;
  document.title = "Vestibule chat";
  history.replaceState(null, "", "/");
  page.name.focus();
}

function showState(state, detail) {
  const words = { connecting: "connecting", connected: "joining", joined: "connected", waiting: "waiting", stopped: "stopped" };
  showFacts(state, words[state]);
  switch (state) {
    case "joined":
      notify("");
      // Without history a room cannot say what went by meanwhile: be honest about it.
      if (wasJoined) tell("Back again. What was said meanwhile is not shown.");
      wasJoined = true;
      break;
    case "waiting": {
      const seconds = Math.ceil(detail.delayMs / 1000);
      notify(`Not connected: ${detail.why}. Trying again in ${seconds} s.`, "Reconnect now");
      break;
    }
    case "stopped":
      // What was said stays readable once there was something to read.
      if (wasJoined) notify(`Stopped: ${detail.why}.`);
      else leave(`Could not join: ${detail.why}.`);
      break;
    default: break;
  }
}

function showFacts(state, word) {
  page.state.dataset.state = state;
  page.state.textContent = word;
  page.send.disabled = state !== "joined";
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
    ? entryOf(payload.from, payload.text, false)
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
  const via = link;
  const item = entryOf(me, text, true);
  const status = element("span", "status", "sending");
  item.dataset.status = "pending";
  item.append(status);
  append(item, true);
  try {
    await via.broadcast("chat", { from: me, text });
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
page.reconnect.addEventListener("click", () => link?.connect());
window.addEventListener("online", () => link?.connect());

const asked = new URLSearchParams(location.search);
page.name.value = asked.get("name")?.trim() ?? "";
page.room.value = asked.get("room")?.trim() || page.room.value;
if (asked.has("name") && asked.has("room") && page.name.value) enter(page.name.value, page.room.value);
else page.name.focus();
