// What was asked of the server and not answered yet, and what could not be sent yet.

import { VestibuleError } from "./vestibule.js";
import type { World } from "./world.js";

/** What an ack bears. */
export interface Answer {
  position?: string | undefined;
  recovered?: boolean | undefined;
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

export class Requests {
  #world: World;
  #queueLimit: number;
  #queued: Request[] = [];
  #sent = new Map<number, { request: Request; timer: unknown }>();
  #lastId = 0;

  constructor(world: World, queueLimit: number) {
    this.#world = world;
    this.#queueLimit = queueLimit;
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
    if (this.#queued.length >= this.#queueLimit) {
      return request.done(new VestibuleError("queue_full", `${this.#queueLimit} broadcasts wait for a connection already`));
    }
    this.#queued.push(request);
  }

  flush(wire: Wire): void {
    for (const request of this.#queued.splice(0)) this.send(request, wire);
  }

  answer(id: unknown, answer: Answer | VestibuleError): void {
    const sent = this.#sent.get(id as number);
    if (!sent) return;
    this.#sent.delete(id as number);
    this.#world.clearTimeout(sent.timer);
    sent.request.done(answer);
  }

  rejectSent(error: VestibuleError): void {
    for (const id of [...this.#sent.keys()]) this.answer(id, error);
  }

  rejectQueued(error: VestibuleError): void {
    for (const request of this.#queued.splice(0)) request.done(error);
  }
}
