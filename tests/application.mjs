// The application behind the server, in tests: it is asked by hooks, answers as it is told, keeps what it was sent byte
// for byte, and can be away.
import { once } from "node:events";
import { createServer } from "node:http";
import { within } from "./client.mjs";

/** What signs its events, in all tests. */
export const KEY = "whsec_dmVzdGlidWxlLWhvb2tzLWluLXRlc3RzLWFsb25l";

export class Application {
  /** By type of event, a function of the event to the verdict on it; whatever has none is answered with 204. */
  verdicts;
  /** Every call that came, answered or not: `{headers, body, path, event}`. */
  had = [];
  /** Whether it takes calls and says nothing to them. */
  isSilent = false;
  #port = 0;
  #server;
  #waiting = new Set();

  static async begin(verdicts) {
    const application = new Application();
    application.verdicts = verdicts;
    await application.start();
    return application;
  }

  get url() {
    return `http://127.0.0.1:${this.#port}/hooks?from=edge`;
  }

  /** Listens: on the same port each time. */
  async start() {
    this.#server = createServer((request, response) => void this.#take(request, response));
    this.#server.listen(this.#port, "127.0.0.1");
    await once(this.#server, "listening");
    this.#port = this.#server.address().port;
  }

  /** Goes away: whoever calls now is refused. */
  async stop() {
    const closed = once(this.#server, "close");
    this.#server.close();
    this.#server.closeAllConnections();
    await closed;
  }

  /** The `count`th call of this type, once it is there. */
  called(type, count = 1) {
    let look;
    return within(new Promise((resolve) => {
      look = () => {
        const call = this.had.filter(({ event }) => event.type === type)[count - 1];
        if (call) resolve(call);
      };
      this.#waiting.add(look);
      look();
    }), `call ${count} about ${type}`).finally(() => this.#waiting.delete(look));
  }

  async #take(request, response) {
    const chunks = [];
    try {
      for await (const chunk of request) chunks.push(chunk);
    } catch {
      // Cut off before it was whole: no call.
      return;
    }
    const call = { headers: request.headers, body: Buffer.concat(chunks).toString(), path: request.url };
    call.event = JSON.parse(call.body);
    this.had.push(call);
    for (const look of this.#waiting) look();
    if (this.isSilent) return;
    const verdict = this.verdicts[call.event.type]?.(call.event);
    response.writeHead(verdict ? 200 : 204).end(verdict && JSON.stringify(verdict));
  }
}
