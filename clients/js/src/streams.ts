// Hearing rooms where WebSocket is blocked: event streams over fetch, of up to sixteen rooms each.
//
// What is joined or left changes a stream, which is then opened anew with the positions of its rooms. The streams of
// a link end together. Nothing can be sent.

import { BlockReader, type Block } from "./blocks.js";
import { NO_CLOSE, type Loss, type Welcome } from "./socket.js";
import { Timers, type World } from "./world.js";

export interface StreamEvents {
  /** The rooms that are wanted, each with where to go on from. */
  rooms(): Map<string, string | undefined>;
  opened(welcome: Welcome): void;
  /** `recovered` is what became of the place that it was to go on from, if there was one. */
  joined(room: string, position: string | undefined, recovered: boolean | undefined): void;
  refused(room: string, code: string, message: string): void;
  gap(room: string, position: string | undefined): void;
  publication(room: string, payload: unknown, event: string | undefined, position: string | undefined): void;
  lost(loss: Loss): void;
}

export interface StreamTimes {
  openTimeoutMs: number;
  streamTimeoutMs: number;
}

/** An end that is not the network's. */
class Ended extends Error {
  readonly code: number;

  constructor(code: number, reason: string) {
    super(reason);
    this.code = code;
  }
}

export class StreamLink {
  readonly transport = "sse";
  #world: World;
  #url: string;
  #token: string | undefined;
  #times: StreamTimes;
  #events: StreamEvents;
  #timers: Timers<"change">;
  #streams: Stream[] = [];
  #isOpen = false;
  #isOver = false;

  constructor(world: World, url: string, token: string | undefined, times: StreamTimes, events: StreamEvents) {
    this.#world = world;
    this.#url = url;
    this.#token = token;
    this.#times = times;
    this.#events = events;
    this.#timers = new Timers(world);
    this.changed();
  }

  /** Other rooms are wanted; those of one moment together. */
  changed(): void {
    if (!this.#isOver) this.#timers.set("change", 0, () => this.#change());
  }

  close(): void {
    this.#isOver = true;
    this.#timers.clearAll();
    for (const stream of this.#streams) stream.close();
  }

  #change(): void {
    const wanted = this.#events.rooms();
    const missing = new Set(wanted.keys());
    const altered = new Set<Stream>();
    for (const stream of this.#streams) {
      const staying = stream.rooms.filter((room) => wanted.has(room));
      if (staying.length !== stream.rooms.length) altered.add(stream);
      stream.rooms = staying;
      for (const room of staying) missing.delete(room);
    }
    for (const room of missing) {
      let stream = this.#streams.find(({ rooms }) => rooms.length < ROOMS_MAX);
      if (!stream) this.#streams.push((stream = this.#newStream()));
      stream.rooms.push(room);
      altered.add(stream);
    }
    this.#streams = this.#streams.filter((stream) => {
      if (stream.rooms.length === 0) stream.close();
      return stream.rooms.length > 0;
    });
    for (const stream of this.#streams) if (altered.has(stream)) void this.#run(stream);
    if (!this.#isOpen && this.#streams.length === 0) this.#end(new Ended(NO_CLOSE, "there is no room to hear"));
  }

  #newStream(): Stream {
    return new Stream(this.#world, this.#times, (block, stream) => this.#take(block, stream));
  }

  /** Opens a stream, and reads it until it is opened anew or the link is over. */
  async #run(stream: Stream): Promise<void> {
    const isCurrent = stream.begin();
    try {
      const wanted = this.#events.rooms();
      stream.answers = 0;
      stream.pending = new Map(stream.rooms.map((room) => [room, wanted.get(room)]));
      const headers = this.#headers([...stream.pending.values()]);
      const response = await stream.request("GET", this.#target(stream.rooms), headers);
      if (!isCurrent()) return;
      const isStream = response.ok && response.headers.get("content-type")?.startsWith("text/event-stream");
      if (!isStream) return await this.#refuse(stream, response);
      await stream.read(response, isCurrent);
      throw stream.retryMs === undefined ? new Ended(NO_CLOSE, "the stream ended") : new Ended(1001, `retry=${stream.retryMs}`);
    } catch (error) {
      if (isCurrent()) this.#end(error);
    }
  }

  #target(rooms: string[]): string {
    const url = new URL(this.#url);
    for (const room of rooms) url.searchParams.append("room", room);
    return url.href;
  }

  #headers(places: (string | undefined)[]): Record<string, string> {
    const headers: Record<string, string> = { accept: "text/event-stream" };
    if (this.#token !== undefined) headers["authorization"] = `Bearer ${this.#token}`;
    if (places.some(Boolean)) headers["last-event-id"] = places.join(",");
    return headers;
  }

  #take({ event, data, id, room, retry }: Block, stream: Stream): void {
    const { rooms, pending } = stream;
    const places = id?.split(",") ?? [];
    const placeOf = (room: string) => places[rooms.indexOf(room)] || undefined;
    // What is said at the beginning is for the case that nothing is said at the end.
    if (event !== "connected") stream.retryMs = retry ?? stream.retryMs;
    if (data === undefined) {
      // It answers a room: one that had no place before, or one whose place stays as it was, and then not which.
      const named = [...pending].find(([room, since]) => !since && placeOf(room));
      if (named) this.#joined(stream, named[0], placeOf(named[0]));
      else if (id) this.#settle(stream, 1);
      return;
    }
    const told = JSON.parse(data) as { code: number; reason: string; room: string; position: string };
    if (event === "close") throw new Ended(told.code, told.reason);
    if (event === "gap") {
      if (!pending.has(told.room)) return this.#events.gap(told.room, told.position);
      this.#joined(stream, told.room, told.position, false);
      this.#settle(stream, 0);
    } else if (event !== "connected") {
      const name = room ?? rooms[0]!;
      if (pending.get(name)) this.#settle(stream, -1);
      this.#joined(stream, name);
      this.#events.publication(name, told, event, placeOf(name));
    } else if (!this.#isOpen) {
      this.#isOpen = true;
      this.#events.opened(told as unknown as Welcome);
    }
  }

  /** So many more answers did not say of which room: all are joined when no more rooms are left. */
  #settle(stream: Stream, more: number): void {
    stream.answers += more;
    const left = [...stream.pending].filter(([, since]) => since);
    if (more >= 0 && stream.answers >= left.length) for (const [room] of left) this.#joined(stream, room);
  }

  /** The room's home has answered, or something of it came. */
  #joined({ pending }: Stream, room: string, position?: string, recovered?: boolean): void {
    if (!pending.has(room)) return;
    const since = pending.get(room);
    pending.delete(room);
    this.#events.joined(room, position, recovered ?? (since === undefined ? undefined : true));
  }

  /** Another answer than a stream. */
  async #refuse(stream: Stream, response: Response): Promise<void> {
    const { status } = response;
    const body = (await response.json().catch(() => ({}))) as { error?: { code?: string; message?: string } };
    const { code = "", message = `HTTP ${status}` } = body.error ?? {};
    if (status === 401) throw new Ended(this.#isOpen || /expired/.test(message) ? 4010 : 4001, message);
    if (code === "origin") throw new Ended(4003, message);
    if (status === 403 || status === 400) return await this.#refuseRooms(stream, status, message);
    if (status === 429 || status >= 500) throw new Ended(1013, message);
    throw new Ended(NO_CLOSE, `no stream there (HTTP ${status})`);
  }

  /** Some of the rooms cannot be had: finds which, and goes on without them. */
  async #refuseRooms(stream: Stream, status: number, message: string): Promise<void> {
    const { rooms } = stream;
    const statusOf = async (room: string) => (await stream.request("HEAD", this.#target([room]), this.#headers([]))).status;
    const statuses = rooms.length === 1 ? [status] : await Promise.all(rooms.map(statusOf));
    const codes = statuses.map((status) => REFUSED[status]);
    // Each for itself, but not all of them: one after the other has to go, the latest first.
    if (!codes.some(Boolean)) codes[codes.length - 1] = "too_many_rooms";
    for (const [index, code] of codes.entries()) if (code !== undefined) this.#events.refused(rooms[index]!, code, message);
    this.changed();
  }

  #end(error: unknown): void {
    if (this.#isOver) return;
    this.close();
    const { message } = error as Error;
    const code = error instanceof Ended ? error.code : NO_CLOSE;
    this.#events.lost({ code, reason: message, answered: true });
  }
}

/** The stream of some rooms: one request after the other. */
class Stream {
  rooms: string[] = [];
  /** Those that were not answered yet, with where they are to go on from. */
  pending = new Map<string, string | undefined>();
  /** Answers that may be any of theirs. */
  answers = 0;
  /** When to come back, if the server said so at its end. */
  retryMs: number | undefined;
  #times: StreamTimes;
  #world: World;
  #timers: Timers<"silence">;
  #take: (block: Block, stream: Stream) => void;
  #abort: AbortController | undefined;

  constructor(world: World, times: StreamTimes, take: (block: Block, stream: Stream) => void) {
    this.#world = world;
    this.#times = times;
    this.#timers = new Timers(world);
    this.#take = take;
  }

  /** Ends what there is, for something new. The result tells whether that is still what counts. */
  begin(): () => boolean {
    this.close();
    const abort = (this.#abort = new AbortController());
    return () => this.#abort === abort;
  }

  close(): void {
    this.#timers.clearAll();
    this.#abort?.abort();
    this.#abort = undefined;
  }

  request(method: string, url: string, headers: Record<string, string>): Promise<Response> {
    const { signal } = this.#abort!;
    this.#expect(this.#times.openTimeoutMs);
    // Without a token a cookie is what there is.
    const credentials = "authorization" in headers ? "same-origin" : "include";
    return this.#world.fetch(url, { method, headers, cache: "no-store", credentials, signal });
  }

  /** Hands on its blocks until it ends. */
  async read(response: Response, isCurrent: () => boolean): Promise<void> {
    const reader = response.body!.getReader();
    const decoder = new TextDecoder();
    const blocks = new BlockReader();
    for (;;) {
      this.#expect(this.#times.streamTimeoutMs);
      const { value, done } = await reader.read();
      if (done || !isCurrent()) return;
      for (const block of blocks.read(decoder.decode(value, { stream: true }))) {
        // A listener may have closed it.
        if (!isCurrent()) return;
        this.#take(block, this);
      }
    }
  }

  /** Something has to come within this time. */
  #expect(ms: number): void {
    const abort = this.#abort;
    this.#timers.set("silence", ms, () => abort?.abort(new Error("the stream fell silent")));
  }
}

const REFUSED: Record<number, string | undefined> = { 400: "room_name", 403: "forbidden" };
const ROOMS_MAX = 16;
