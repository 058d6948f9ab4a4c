// A world for the client in which nothing happens by itself: time passes when a test says so, sockets are the
// test's, and chance is what it drew.
import { Connection } from "../build/connection.js";

/** A WebSocket whose server is the test. */
export class FakeSocket {
  sent = [];
  closedWith = undefined;

  constructor(url, protocols) {
    this.url = url;
    this.protocols = protocols;
  }

  send(text) {
    this.sent.push(JSON.parse(text));
  }

  close(code) {
    this.closedWith ??= code;
  }

  /** The server says it. */
  says(message) {
    this.onmessage?.({ data: JSON.stringify(message) });
  }

  welcomes(connection = "c1") {
    this.says({ type: "connected", userId: "ada", connection, shard: 0 });
  }

  /** Answers the last request of this type. */
  answers(type, fields = {}) {
    const request = this.sent.findLast((message) => message.type === type);
    this.says({ type: "ack", id: request.id, ...fields });
    return request;
  }

  /** The connection ends. */
  ends(code = 1006, reason = "") {
    this.onclose?.({ code, reason });
  }
}

export class World {
  sockets = [];
  requests = [];
  /** What `random` draws. */
  chance = 0.5;
  #now = 1_700_000_000_000;
  #timers = new Map();
  #lastTimer = 0;
  #onReturn = new Set();

  WebSocket = (() => {
    const { sockets } = this;
    return class extends FakeSocket {
      constructor(...given) {
        super(...given);
        sockets.push(this);
      }
    };
  })();

  fetch = (url, init) => new Promise((resolve, reject) => {
    const request = { url: new URL(url), init, resolve, reject };
    init.signal?.addEventListener("abort", () => reject(init.signal.reason));
    this.requests.push(request);
  });
  now = () => this.#now;
  clock = () => this.#now;
  random = () => this.chance;
  setTimeout = (call, ms) => {
    this.#timers.set(++this.#lastTimer, { at: this.#now + ms, call });
    return this.#lastTimer;
  };
  clearTimeout = (timer) => { this.#timers.delete(timer); };
  onReturn = (call) => {
    this.#onReturn.add(call);
    return () => this.#onReturn.delete(call);
  };

  /** The network is back. */
  returns() {
    for (const call of this.#onReturn) call();
  }

  get listenersOfReturn() {
    return this.#onReturn.size;
  }

  get runningTimers() {
    return this.#timers.size;
  }

  /** Lets `ms` pass; each timer runs at its own moment. */
  async pass(ms) {
    const end = this.#now + ms;
    await settled();
    for (;;) {
      const [id, next] = [...this.#timers].sort(([, a], [, b]) => a.at - b.at)[0] ?? [];
      if (next === undefined || next.at > end) break;
      this.#timers.delete(id);
      this.#now = Math.max(this.#now, next.at);
      next.call();
      await settled();
    }
    this.#now = end;
  }

  get socket() {
    return this.sockets.at(-1);
  }

  /** A client, with the states that it went through. */
  async connect(options = {}) {
    const client = new Connection("wss://edge.example.com/ws", options, this);
    client.states = [];
    client.on("state", (state) => client.states.push(state));
    await settled();
    return client;
  }

  /** A client that is open. */
  async open(options) {
    const client = await this.connect(options);
    this.socket.welcomes();
    return client;
  }
}

/** All that was promised up to now has been heard of. */
export const settled = () => new Promise((resolve) => { setImmediate(resolve); });

/** A joined room that keeps what it hears in `heard`. */
export async function joined(world, client, name, ack = {}, options) {
  const joining = client.join(name, options);
  await settled();
  world.socket.answers("join", ack);
  return listening(await joining);
}

export function listening(room) {
  room.heard = [];
  room.on("*", (payload, { event }) => room.heard.push(event === undefined ? payload : [event, payload]));
  room.on("gap", ({ reason }) => room.heard.push(`gap: ${reason}`));
  room.on("close", ({ error }) => room.heard.push(`close: ${error?.code}`));
  return room;
}
