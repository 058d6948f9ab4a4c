// The client: one link to the server at a time, which comes back until it is told not to.
//
// Owns what outlives a link: the rooms, the queue, the state. A link never decides what follows on its end: that is
// decided in one place here.

import { eventsUrl, socketUrl } from "./address.js";
import { Emitter } from "./emitter.js";
import { Requests, type Answer, type Request } from "./requests.js";
import { backOffMs, longBackOffMs, retryHintMs, verdictOf } from "./retry.js";
import { RoomState, type Door } from "./room.js";
import { NO_CLOSE, SocketLink, type Loss, type Message, type Welcome } from "./socket.js";
import { StreamLink } from "./streams.js";
import { lastsMs } from "./token.js";
import { VestibuleError, type JoinOptions, type Options, type Published, type PublishOptions, type SendOptions, type State } from "./vestibule.js";
import { Timers, type World } from "./world.js";

const DEFAULTS = {
  retryMinMs: 1000,
  retryMaxMs: 30_000,
  retryLimit: Infinity,
  stableAfterMs: 10_000,
  openTimeoutMs: 10_000,
  requestTimeoutMs: 10_000,
  pingIntervalMs: 25_000,
  pingTimeoutMs: 10_000,
  queueLimit: 100,
  resumeBurst: 50,
  resumePerSecond: 40,
  refreshBeforeMs: 30_000,
  fallbackAfter: 2,
  upgradeIntervalMs: 60_000,
  streamTimeoutMs: 75_000,
};

/** A room with those who wait to be in it. */
interface Entry {
  room: RoomState;
  joined: Promise<RoomState>;
  settle(error?: VestibuleError): void;
  /** The join that was asked for last. */
  asking?: Request;
}

export class Connection implements Door {
  state: State = { status: "connecting" };
  #options: Options & typeof DEFAULTS;
  #world: World;
  #socketUrl: string;
  /** Undefined where there is nothing to fall back on. */
  #eventsUrl: string | undefined;
  #timers: Timers<"retry" | "stable" | "refresh" | "upgrade">;
  #emitter = new Emitter();
  #entries = new Map<string, Entry>();
  #requests: Requests;
  #link: SocketLink | StreamLink | undefined;
  /** The WebSocket that was tried last: it may not be open yet. */
  #opening: SocketLink | undefined;
  /** Which attempt is under way: what an earlier one still brings is void. */
  #turn = 0;
  /** Attempts since a connection was stable. */
  #attempts = 0;
  /** WebSockets in a row that did not open. */
  #blocked = 0;
  /** Whether a return to the network may end the present wait. */
  #mayHurry = false;
  #forgetReturn: () => void;

  constructor(url: string | URL, options: Options, world: World) {
    const given = Object.entries(options).filter(([, value]) => value !== undefined);
    this.#options = { ...DEFAULTS, ...Object.fromEntries(given) };
    this.#world = options.WebSocket ? { ...world, WebSocket: options.WebSocket } : world;
    if (!this.#world.WebSocket) throw new TypeError("there is no WebSocket here: pass one as an option");
    this.#socketUrl = socketUrl(url);
    if (options.eventsUrl !== false) this.#eventsUrl = eventsUrl(this.#socketUrl, options.eventsUrl);
    this.#timers = new Timers(world);
    this.#requests = new Requests(world, this.#options);
    this.#forgetReturn = world.onReturn(() => this.#onReturn());
    // Whoever connects can listen first.
    queueMicrotask(() => void this.#attempt());
  }

  on(event: string, listener: (...args: never[]) => void): () => void {
    return this.#emitter.on(event, listener);
  }

  async join(name: string, options: JoinOptions = {}): Promise<RoomState> {
    this.#refuseIfClosed();
    const known = this.#entries.get(name);
    if (known) return known.joined;
    const room = new RoomState(name, options.since, this);
    let settle: Entry["settle"] = () => {};
    const joined = new Promise<RoomState>((resolve, reject) => {
      settle = (error) => (error ? reject(error) : resolve(room));
    });
    const entry: Entry = { room, joined, settle };
    this.#entries.set(name, entry);
    if (this.#link instanceof SocketLink) this.#requests.send(this.#joining(entry), this.#link);
    else if (this.#link) this.#link.changed();
    // Without a room there was nothing that a stream could have been tried for.
    else if (this.#isBlocked) this.#hurry();
    return joined;
  }

  async publish(room: string, payload: unknown, options: PublishOptions = {}): Promise<Published> {
    this.#refuseIfClosed();
    const body = JSON.stringify({ type: "broadcast", room, event: options.event, payload: payload ?? null });
    const acknowledged = (position?: string) => this.#entries.get(room)?.room.cursor.acknowledge(position);
    const { position } = await this.#say(body, options, (answer) => acknowledged(answer.position));
    return position === undefined ? {} : { position };
  }

  async send(event: string, payload?: unknown, options: SendOptions = {}): Promise<unknown> {
    this.#refuseIfClosed();
    const body = JSON.stringify({ type: "event", event, payload: payload ?? null });
    return (await this.#say(body, options)).reply;
  }

  /** Sends a request as soon as it can be sent; `heard` is called in the same breath as the answer is read. */
  #say(body: string, options: SendOptions, heard?: (answer: Answer) => void): Promise<Answer> {
    const { timeoutMs = this.#options.requestTimeoutMs, queue = true } = options;
    const socket = this.#sendable();
    if (!socket && !queue) throw new VestibuleError("offline", "not connected");
    return new Promise<Answer>((resolve, reject) => {
      const done = (answer: Answer | VestibuleError) => {
        if (answer instanceof VestibuleError) return reject(answer);
        heard?.(answer);
        resolve(answer);
      };
      const request = { body, timeoutMs, done };
      if (socket && !(queue && this.#requests.isBehind)) this.#requests.send(request, socket);
      else this.#requests.queue(request);
    });
  }

  async leave(room: RoomState): Promise<void> {
    const entry = this.#entries.get(room.name);
    if (entry?.room !== room) return;
    this.#remove(room.name);
    const link = this.#link;
    if (link instanceof StreamLink) link.changed();
    // Without a connection there is nothing to leave, nor before the join was sent.
    if (!(link instanceof SocketLink) || this.#requests.forget(entry.asking)) return;
    // Whatever the answer is, one is no member after it.
    await new Promise<unknown>((resolve) => this.#ask(link, { type: "leave", room: room.name }, resolve));
  }

  async ping(): Promise<number> {
    this.#refuseIfClosed();
    const socket = this.#sendable();
    if (!socket) throw new VestibuleError("offline", "not connected");
    const sentAt = this.#world.clock();
    await new Promise<void>((resolve, reject) => {
      this.#ask(socket, { type: "ping" }, (answer) => (answer instanceof VestibuleError ? reject(answer) : resolve()));
    });
    return this.#world.clock() - sentAt;
  }

  reconnect(): void {
    if (this.state.status !== "waiting") return;
    this.#timers.clear("retry");
    void this.#attempt();
  }

  close(): void {
    this.#end();
  }

  // --- attempts -----------------------------------------------------------

  async #attempt(): Promise<void> {
    if (this.state.status === "closed") return;
    const turn = ++this.#turn;
    this.#setState({ status: "connecting" });
    try {
      const token = await this.#token();
      if (turn === this.#turn) this.#openSocket(token);
    } catch (error) {
      if (turn === this.#turn) this.#lost({ code: NO_CLOSE, reason: messageOf(error), answered: true });
    }
  }

  #openSocket(token: string | undefined): void {
    const link: SocketLink = new SocketLink(this.#world, this.#socketUrl, token, this.#options, {
      opened: (welcome) => {
        this.#blocked = 0;
        // What was there until now is a stream.
        this.#link?.close();
        this.#link = link;
        this.#refreshLater(token);
        this.#requests.flush(link, [...this.#entries.values()].map((entry) => this.#joining(entry)));
        this.#opened(welcome);
      },
      message: (message) => this.#receive(message),
      lost: (loss) => {
        if (this.#link instanceof StreamLink) return this.#upgradeLater();
        this.#blocked = loss.answered ? 0 : this.#blocked + 1;
        if (!this.#isBlocked || !this.#openStreams(token)) this.#lost(loss);
      },
    });
    this.#opening = link;
  }

  get #isBlocked(): boolean {
    return this.#blocked >= this.#options.fallbackAfter;
  }

  /** False if there is nothing to listen to, or nowhere. */
  #openStreams(token: string | undefined): boolean {
    if (this.#eventsUrl === undefined || this.#entries.size === 0) return false;
    const link: StreamLink = new StreamLink(this.#world, this.#eventsUrl, token, this.#options, {
      rooms: () => new Map([...this.#entries].map(([name, { room }]) => [name, room.since])),
      opened: (welcome) => {
        this.#upgradeLater();
        this.#requests.rejectQueued(receiveOnly());
        this.#opened(welcome);
      },
      joined: (name, position, recovered) => {
        const entry = this.#entries.get(name);
        if (entry?.room.status === "joining") this.#joined(entry, entry.room.since, { position, recovered });
        // The stream was opened anew for the sake of another room.
        else if (recovered === false) entry?.room.gap("not_recovered", position);
      },
      refused: (name, code, message) => this.#remove(name, new VestibuleError(code, message)),
      gap: (name, position) => this.#entries.get(name)?.room.gap("skipped", position),
      publication: (name, ...told) => this.#entries.get(name)?.room.receive(...told),
      lost: (loss) => this.#lost(loss),
    });
    this.#link = link;
    return true;
  }

  #opened({ userId, connection, shard }: Welcome): void {
    const transport = this.#link!.transport;
    this.#timers.set("stable", this.#options.stableAfterMs, () => (this.#attempts = 0));
    this.#setState({ status: "open", transport, userId, connection, ...(shard !== undefined && { shard }) });
  }

  /** Tries the WebSocket again, now and then, while a stream does its work. */
  #upgradeLater(): void {
    const inMs = this.#options.upgradeIntervalMs * (0.75 + this.#world.random() / 2);
    this.#timers.set("upgrade", inMs, () => {
      const turn = this.#turn;
      this.#token()
        .then((token) => turn === this.#turn && this.#openSocket(token))
        .catch(() => turn === this.#turn && this.#upgradeLater());
    });
  }

  async #token(): Promise<string | undefined> {
    const { token, openTimeoutMs } = this.#options;
    if (typeof token !== "function") return token;
    let timer: unknown;
    const late = new Promise<never>((_, reject) => {
      timer = this.#world.setTimeout(() => reject(new Error("no token came in time")), openTimeoutMs);
    });
    try {
      return await Promise.race([token(), late]);
    } finally {
      this.#world.clearTimeout(timer);
    }
  }

  // --- the end of a link --------------------------------------------------

  /** A link has ended, or could not be had. What follows is decided here. */
  #lost({ code, reason }: Loss): void {
    const verdict = verdictOf(code, reason);
    const lost = new VestibuleError("lost", `the connection ended before the answer came (${code})`, code);
    this.#dropLink();
    this.#requests.rejectSent(lost);
    for (const { room, settle } of [...this.#entries.values()]) {
      if (room.status === "joined") room.status = "joining";
      else if (verdict === "refused message" && !room.wasJoined) {
        // It may be what the server would not take: once is enough.
        settle(lost);
        this.#remove(room.name, lost);
      }
    }
    const { retryMinMs, retryMaxMs } = this.#options;
    const { random } = this.#world;
    const backOff = () => backOffMs(this.#attempts, retryMinMs, retryMaxMs, random);
    switch (verdict) {
      case "stop":
        return this.#end(new VestibuleError(STOPPED[code] ?? "closed", reason || `closed with ${code}`, code));
      case "hinted":
        return this.#wait(retryHintMs(reason) ?? 0, false, code, reason);
      case "fresh token":
        if (typeof this.#options.token === "string") {
          return this.#end(new VestibuleError("token_expired", "the token has expired, and there is no other", code));
        }
        // At once, but only once: a fresh one that is refused too waits its turn.
        return this.#wait(this.#attempts === 0 ? 0 : backOff(), false, code, reason);
      case "back off long":
        return this.#wait(longBackOffMs(retryMaxMs, random), false, code, reason);
      default:
        // A server may say when, as it does with 1013.
        return this.#wait(Math.max(backOff(), retryHintMs(reason) ?? 0), true, code, reason);
    }
  }

  #wait(retryInMs: number, mayHurry: boolean, code: number, reason: string): void {
    // Somebody who was told may have closed it.
    if (this.state.status === "closed") return;
    this.#attempts += 1;
    if (this.#attempts > this.#options.retryLimit) {
      return this.#end(new VestibuleError("retry_limit", `no connection: ${reason || `closed with ${code}`}`, code));
    }
    this.#mayHurry = mayHurry;
    this.#timers.set("retry", retryInMs, () => void this.#attempt());
    this.#setState({ status: "waiting", retryInMs, reason, code });
  }

  #dropLink(): void {
    this.#turn += 1;
    this.#timers.clearAll();
    this.#opening?.close();
    this.#link?.close();
    this.#opening = this.#link = undefined;
  }

  #end(error?: VestibuleError): void {
    if (this.state.status === "closed") return;
    this.#dropLink();
    this.#forgetReturn();
    this.#setState(error ? { status: "closed", error } : { status: "closed" });
    const closed = error ?? new VestibuleError("closed", "the client was closed");
    this.#requests.rejectSent(closed);
    this.#requests.rejectQueued(closed);
    for (const name of [...this.#entries.keys()]) this.#remove(name, error);
  }

  /** The network is back, or the page looked at again: a connection is tried out, and a wait cut short. */
  #onReturn(): void {
    if (this.#link instanceof SocketLink) this.#link.probe();
    else this.#hurry();
  }

  /** Waits for no longer than the first step: not for nothing, for all of a network come back together. */
  #hurry(): void {
    if (this.state.status !== "waiting" || !this.#mayHurry) return;
    this.#mayHurry = false;
    this.#timers.set("retry", this.#world.random() * this.#options.retryMinMs, () => void this.#attempt());
  }

  // --- what is said -------------------------------------------------------

  #receive(message: Message): void {
    const room = typeof message["room"] === "string" ? this.#entries.get(message["room"])?.room : undefined;
    const { payload, event, position } = message as { payload?: unknown; event?: string; position?: string };
    switch (message.type) {
      case "message":
        return room?.receive(payload, event, position);
      case "gap":
        return room?.gap("skipped", position);
      case "ack":
        return this.#requests.answer(message["id"], message as Answer);
      case "error": {
        const error = new VestibuleError(String(message["code"]), String(message["message"] ?? message["code"]));
        if (message["id"] === undefined) this.#emitter.emit("error", error);
        else this.#requests.answer(message["id"], error);
      }
      // A newer server may say more than is known here.
    }
  }

  /** What can be sent over, now. */
  #sendable(): SocketLink | undefined {
    if (this.#link instanceof SocketLink) return this.#link;
    if (this.#link && this.state.status === "open") throw receiveOnly();
    return undefined;
  }

  #ask(link: SocketLink, body: object, done: Request["done"]): void {
    this.#requests.send({ body: JSON.stringify(body), timeoutMs: this.#options.requestTimeoutMs, done }, link);
  }

  #joining(entry: Entry): Request {
    const { room } = entry;
    const { since, name } = room;
    const done = (answer: Answer | VestibuleError) => {
      if (this.#entries.get(name) !== entry) return;
      if (!(answer instanceof VestibuleError)) this.#joined(entry, since, answer);
      // The application that is asked may be away for as long as it takes to restart it.
      else if (answer.code === "hook_timeout" && room.wasJoined) this.#joinLater(entry);
      else if (answer.code !== "lost") this.#remove(name, answer);
    };
    // It waits for as long as the connection lasts: pings see whether that is alive.
    return (entry.asking = { body: JSON.stringify({ type: "join", room: name, since }), timeoutMs: Infinity, done });
  }

  /**
   * Asks once more, if the connection is still the same then; a new one asks by itself. Not soon: all of a client's
   * rooms may be asked for again, and too many messages close the connection.
   */
  #joinLater(entry: Entry): void {
    const link = this.#link;
    this.#world.setTimeout(() => {
      const isWanted = this.#entries.get(entry.room.name) === entry && this.#link === link;
      if (isWanted && link instanceof SocketLink) this.#requests.send(this.#joining(entry), link);
    }, this.#options.retryMaxMs * (0.25 + this.#world.random() / 4));
  }

  #joined({ room, settle }: Entry, since: string | undefined, { position, recovered }: Answer): void {
    room.opened(since, position, recovered);
    settle();
  }

  #remove(name: string, error?: VestibuleError): void {
    const entry = this.#entries.get(name);
    this.#entries.delete(name);
    entry?.settle(error ?? new VestibuleError("closed", "the room was left"));
    entry?.room.left(error);
  }

  // --- the token ----------------------------------------------------------

  #refreshLater(token: string | undefined): void {
    const leftMs = token === undefined ? undefined : lastsMs(token, this.#world.now());
    // Of one that has ended already, by this clock, the server will say so.
    if (leftMs === undefined || leftMs <= 0 || typeof this.#options.token !== "function") return;
    // Of a short one half is used; and nobody is asked without end.
    const inMs = Math.max(leftMs / 2, leftMs - this.#options.refreshBeforeMs, REFRESH_MS_MIN);
    this.#timers.set("refresh", inMs, () => void this.#refresh());
  }

  /** If it does not work out, the server closes with 4010, and a fresh token is asked for then. */
  async #refresh(): Promise<void> {
    const turn = this.#turn;
    const token = await this.#token().catch(() => undefined);
    const link = this.#link;
    if (token === undefined || turn !== this.#turn || !(link instanceof SocketLink)) return;
    this.#ask(link, { type: "refresh", token }, (answer) => {
      if (!(answer instanceof VestibuleError)) this.#refreshLater(token);
    });
  }

  // ------------------------------------------------------------------------

  #refuseIfClosed(): void {
    if (this.state.status === "closed") throw this.state.error ?? new VestibuleError("closed", "the client was closed");
  }

  #setState(state: State): void {
    this.state = state;
    this.#emitter.emit("state", state);
  }
}

function receiveOnly(): VestibuleError {
  return new VestibuleError("receive_only", "connected by a stream, over which nothing can be sent");
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

const STOPPED: Record<number, string> = { 1008: "policy", 4001: "unauthorized", 4003: "forbidden" };
const REFRESH_MS_MIN = 1000;
