// One room as the application holds it: its listeners, and where it is read up to.
//
// Knows no connection: what has to be said to the server, its client says.

import { Emitter } from "./emitter.js";
import { Cursor } from "./position.js";
import type { Gap, Left, Meta, Opened, Published, PublishOptions, VestibuleError } from "./vestibule.js";

/** What a room asks of its client. */
export interface Door {
  publish(room: string, payload: unknown, options?: PublishOptions): Promise<Published>;
  leave(room: RoomState): Promise<void>;
}

export class RoomState {
  readonly name: string;
  status: "joining" | "joined" | "left" = "joining";
  /** Behind what was handed to listeners. */
  position: string | undefined;
  readonly cursor: Cursor;
  /** Whether it was joined on some connection. */
  wasJoined = false;
  #door: Door;
  #since: string | undefined;
  #emitter = new Emitter();
  /** What came before anybody listened; undefined once somebody does. */
  #held: (() => void)[] | undefined = [];

  constructor(name: string, since: string | undefined, door: Door) {
    this.name = name;
    this.#since = since;
    this.cursor = new Cursor(since);
    this.#door = door;
  }

  on(event: string, listener: (...args: never[]) => void): () => void {
    // Those that are added in the same breath hear what was held, too.
    if (this.#held) queueMicrotask(() => this.#release());
    return this.#emitter.on(event, listener);
  }

  publish(payload: unknown, options?: PublishOptions): Promise<Published> {
    return this.#door.publish(this.name, payload, options);
  }

  leave(): Promise<void> {
    return this.#door.leave(this);
  }

  /** Where to go on from at the next join. */
  get since(): string | undefined {
    return this.cursor.text ?? this.#since;
  }

  /** The server has let it in; `since` is what it was asked to go on from. */
  opened(since: string | undefined, position: string | undefined, recovered: boolean | undefined): void {
    const again = this.wasJoined;
    this.status = "joined";
    this.wasJoined = true;
    this.#since = undefined;
    this.cursor.stand(position);
    const opened: Opened = { again };
    if (position !== undefined) opened.position = position;
    if (recovered !== undefined) opened.recovered = recovered;
    this.#hand(() => this.#emitter.emit("open", opened));
    if (recovered === false) this.#tellGap("not_recovered", position);
    else if (again && since === undefined) this.#tellGap("no_history", position);
    else this.#hand(() => (this.position = position ?? this.position));
  }

  /** A publication came. */
  receive(payload: unknown, event: string | undefined, position: string | undefined): void {
    if (this.status === "left" || this.cursor.receive(position) !== "new") return;
    const meta: Meta = { room: this.name };
    if (event !== undefined) meta.event = event;
    if (position !== undefined) meta.position = position;
    this.#hand(() => {
      // Before it is handed on: a listener may keep it.
      this.position = position ?? this.position;
      this.#emitter.emit(event ?? "message", payload, meta);
      if (event !== "*") this.#emitter.emit("*", payload, meta);
    });
  }

  /** Publications are missing up to `position`. */
  gap(reason: Gap["reason"], position: string | undefined): void {
    this.cursor.stand(position);
    this.#tellGap(reason, position);
  }

  /** No longer a member, and not to become one again. */
  left(error?: VestibuleError): void {
    if (this.status === "left") return;
    this.status = "left";
    const left: Left = error ? { error } : {};
    this.#hand(() => this.#emitter.emit("close", left));
  }

  #tellGap(reason: Gap["reason"], position: string | undefined): void {
    const gap: Gap = position === undefined ? { reason } : { reason, position };
    this.#hand(() => {
      this.position = position ?? this.position;
      this.#emitter.emit("gap", gap);
    });
  }

  #hand(call: () => void): void {
    if (!this.#held) return call();
    if (this.#held.length >= HELD_MAX) {
      const position = this.cursor.text;
      this.#held = [];
      this.#tellGap("unheard", position);
      return;
    }
    this.#held.push(call);
  }

  #release(): void {
    const held = this.#held ?? [];
    this.#held = undefined;
    for (const call of held) call();
  }
}

/** What is held for a first listener. */
const HELD_MAX = 1000;
