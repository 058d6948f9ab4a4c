// One WebSocket, from the handshake to its end: who one is, whether it is alive, and why it ended.
//
// Knows no room. It ends once, and says nothing after that.

import { Timers, type World } from "./world.js";

/** What the server says first. */
export interface Welcome {
  userId: string;
  connection: string;
  shard?: number;
}

/** How a link ended. */
export interface Loss {
  code: number;
  reason: string;
  /** Whether the server had answered at all. */
  answered: boolean;
}

export interface Message {
  type: string;
  [key: string]: unknown;
}

export interface SocketEvents {
  opened(welcome: Welcome): void;
  message(message: Message): void;
  lost(loss: Loss): void;
}

export interface SocketTimes {
  openTimeoutMs: number;
  pingIntervalMs: number;
  pingTimeoutMs: number;
}

/** What a WebSocket is closed with in a browser that heard no close. */
export const NO_CLOSE = 1006;

export class SocketLink {
  readonly transport = "websocket";
  #world: World;
  #times: SocketTimes;
  #events: SocketEvents;
  #socket: WebSocket;
  #timers: Timers<"open" | "silence" | "pong">;
  #heardAt = 0;
  #isOpen = false;
  #isOver = false;

  constructor(world: World, url: string, token: string | undefined, times: SocketTimes, events: SocketEvents) {
    this.#world = world;
    this.#times = times;
    this.#events = events;
    this.#timers = new Timers(world);
    // Never in the URL: a header stands in no history, and seldom in a log on the way.
    const bearer = token === undefined ? [] : [`bearer.${token}`];
    const socket = (this.#socket = new world.WebSocket!(url, ["vestibule", ...bearer]));
    this.#timers.set("open", times.openTimeoutMs, () => this.#end(NO_CLOSE, "the server did not answer in time"));
    socket.onmessage = ({ data }) => this.#receive(data);
    socket.onclose = ({ code, reason }) => this.#end(code, reason);
    // A close follows with the code; some forget it where the handshake failed.
    socket.onerror = () => this.#timers.set("open", CLOSE_WITHIN_MS, () => this.#end(NO_CLOSE, "the connection failed"));
  }

  send(text: string): void {
    this.#socket.send(text);
  }

  /** Asks the server whether it is there. */
  probe(): void {
    // A ping that is out already is waited for.
    if (!this.#isOpen || this.#isOver || this.#timers.isSet("pong")) return;
    this.#socket.send('{"type":"ping"}');
    this.#timers.set("pong", this.#times.pingTimeoutMs, () => this.#end(NO_CLOSE, "the server did not answer a ping"));
  }

  close(): void {
    this.#isOver = true;
    this.#timers.clearAll();
    this.#socket.onmessage = this.#socket.onclose = null;
    this.#socket.onerror = () => {};
    this.#socket.close(1000);
  }

  #receive(data: unknown): void {
    this.#heardAt = this.#world.clock();
    // Whatever it says, it is there.
    this.#timers.clear("pong");
    const message = decode(data);
    if (this.#isOpen) {
      this.#events.message(message);
    } else if (message.type === "connected") {
      this.#isOpen = true;
      this.#timers.clear("open");
      this.#watch(this.#times.pingIntervalMs);
      this.#events.opened(message as unknown as Welcome);
    }
  }

  /** Asks once nothing was heard for the interval; a message only puts it off, without a timer of its own. */
  #watch(inMs: number): void {
    this.#timers.set("silence", inMs, () => {
      const leftMs = this.#heardAt + this.#times.pingIntervalMs - this.#world.clock();
      if (leftMs > 0) return this.#watch(leftMs);
      this.probe();
      this.#watch(this.#times.pingIntervalMs);
    });
  }

  #end(code: number, reason: string): void {
    if (this.#isOver) return;
    this.close();
    this.#events.lost({ code, reason, answered: this.#isOpen || code !== NO_CLOSE });
  }
}

/** What is no message is taken for one that nobody knows. */
function decode(data: unknown): Message {
  try {
    return Object(JSON.parse(String(data))) as Message;
  } catch {
    return { type: "" };
  }
}

/** How long after an error a close may take. */
const CLOSE_WITHIN_MS = 100;
