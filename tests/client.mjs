// A client of the native protocol over npm's `ws`, for tests: what the server
// says waits in a queue, and every wait has a deadline.
import WebSocket from "ws";

const ANSWER_WITHIN_MS = 10_000;

/** One WebSocket, with its messages in the order in which they came. */
export class Client {
  #queue = [];
  #waiting = null;
  #closed = null;

  constructor(url, options = {}, subprotocols = []) {
    this.socket = new WebSocket(url, subprotocols, options);
    this.socket.on("message", (data, isBinary) => this.#arrived({ data, isBinary }));
    this.socket.on("close", (code, reason) => this.#arrived({ closed: { code, reason: reason.toString() } }));
    this.socket.on("error", (error) => { this.error = error; });
  }

  /** Resolves once the handshake is done. */
  static async open(url, options) {
    const client = new Client(url, options);
    await within(new Promise((resolve, reject) => {
      client.socket.once("open", resolve);
      client.socket.once("error", reject);
    }), "the handshake");
    return client;
  }

  /** Opens, and takes the `connected` that has to come first: it stays in `welcome`. */
  static async enter(server, bearer, options) {
    const client = await Client.open(`ws://${server.host}/ws?token=${bearer}`, options);
    client.welcome = await client.nextJson();
    return client;
  }

  send(value) {
    this.socket.send(typeof value === "string" ? value : JSON.stringify(value));
  }

  /** The next message as it came, or the close: `{data, isBinary}` or `{closed}`. */
  next() {
    if (this.#queue.length > 0) return Promise.resolve(this.#queue.shift());
    if (this.#closed) return Promise.resolve({ closed: this.#closed });
    return within(new Promise((resolve) => { this.#waiting = resolve; }), "a message");
  }

  /** The next message's text. */
  async nextText() {
    const { data, isBinary, closed } = await this.next();
    if (closed) throw new Error(`closed with ${closed.code} ${closed.reason}`);
    if (isBinary) throw new Error("a binary message came");
    return data.toString();
  }

  /** The next message's value. */
  async nextJson() {
    return JSON.parse(await this.nextText());
  }

  /** How the connection ended; fails if a message comes before. */
  async nextClose() {
    const { closed, data } = await this.next();
    if (!closed) throw new Error(`a message came: ${data}`);
    return closed;
  }

  /** Sends a request and returns what comes next. */
  request(value) {
    this.send(value);
    return this.nextJson();
  }

  /** Closes and waits until it is closed. */
  async leave() {
    this.socket.close(1000);
    for (;;) {
      const { closed } = await this.next();
      if (closed) return closed;
    }
  }

  #arrived(event) {
    if (event.closed) this.#closed = event.closed;
    const waiting = this.#waiting;
    if (waiting) {
      this.#waiting = null;
      waiting(event);
    } else if (!event.closed || this.#queue.length > 0) {
      this.#queue.push(event);
    }
  }
}

/** `promise`, or a failure that says what did not come. */
export function within(promise, what) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} did not come within ${ANSWER_WITHIN_MS} ms`)), ANSWER_WITHIN_MS);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}
