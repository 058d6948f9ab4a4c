// What was asked of the server and not answered yet, and what could not be sent yet.

import { VestibuleError } from "./vestibule.js";
import { Timers, type World } from "./world.js";

/** What an ack bears. */
export interface Answer {
  position?: string | undefined;
  recovered?: boolean | undefined;
  reply?: unknown;
}

export interface Request {
  /** JSON of an object with members. */
  body: string;
  /** From when it is sent. */
  timeoutMs: number;
  /** Called in the same breath as the answer is read; again with a late answer after a timeout. */
  done(answer: Answer | VestibuleError): void;
}

interface Wire {
  send(text: string): void;
}

/** How much of what waited a new connection is given: at once, and from then on. */
export interface Pace {
  queueLimit: number;
  resumeBurst: number;
  resumePerSecond: number;
}

export class Requests {
  #world: World;
  #pace: Pace;
  #timers: Timers<"slice">;
  /** What goes before all that is queued, on this connection. */
  #first: Request[] = [];
  #queued: Request[] = [];
  #sent = new Map<number, { request: Request; timer: unknown }>();
  #lastId = 0;

  constructor(world: World, pace: Pace) {
    this.#world = world;
    this.#pace = pace;
    this.#timers = new Timers(world);
  }

  /** Whether something still waits to be sent: what comes now goes behind it. */
  get isBehind(): boolean {
    return this.#first.length + this.#queued.length > 0;
  }

  send(request: Request, wire: Wire): void {
    const id = ++this.#lastId;
    const late = () => request.done(new VestibuleError("timeout", `no answer within ${request.timeoutMs} ms`));
    const timer = request.timeoutMs === Infinity ? undefined : this.#world.setTimeout(late, request.timeoutMs);
    this.#sent.set(id, { request, timer });
    wire.send(`${request.body.slice(0, -1)},"id":${id}}`);
  }

  /** Keeps it for the next connection. */
  queue(request: Request): void {
    const { queueLimit } = this.#pace;
    if (this.#queued.length >= queueLimit) {
      return request.done(new VestibuleError("queue_full", `${queueLimit} messages wait for a connection already`));
    }
    this.#queued.push(request);
  }

  /** A connection is there: these go out, then what is queued. Little by little: all at once would be too many messages. */
  flush(wire: Wire, first: Request[]): void {
    this.#first = first;
    this.#slice(wire, this.#pace.resumeBurst);
  }

  /** Takes back what was to go out first; false if it has gone. */
  forget(request: Request | undefined): boolean {
    const waiting = this.#first.length;
    this.#first = this.#first.filter((first) => first !== request);
    return this.#first.length < waiting;
  }

  #slice(wire: Wire, count: number): void {
    const slice = this.#first.splice(0, count);
    slice.push(...this.#queued.splice(0, count - slice.length));
    for (const request of slice) this.send(request, wire);
    const next = Math.max(1, Math.floor((this.#pace.resumePerSecond * SLICE_MS) / 1000));
    if (this.isBehind) this.#timers.set("slice", SLICE_MS, () => this.#slice(wire, next));
  }

  answer(id: unknown, answer: Answer | VestibuleError): void {
    const sent = this.#sent.get(id as number);
    if (!sent) return;
    this.#sent.delete(id as number);
    this.#world.clearTimeout(sent.timer);
    sent.request.done(answer);
  }

  /** The connection is gone. */
  rejectSent(error: VestibuleError): void {
    this.#timers.clearAll();
    for (const request of this.#first.splice(0)) request.done(error);
    for (const id of [...this.#sent.keys()]) this.answer(id, error);
  }

  rejectQueued(error: VestibuleError): void {
    for (const request of this.#queued.splice(0)) request.done(error);
  }
}

/** How often a part of what waited is sent. */
const SLICE_MS = 500;
