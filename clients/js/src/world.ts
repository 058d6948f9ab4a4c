// What the client has from where it runs: sockets, requests, time and chance. Tests bring their own.

import type { WebSocketConstructor } from "./vestibule.js";

export interface World {
  WebSocket: WebSocketConstructor | undefined;
  fetch: typeof fetch;
  /** Unix time, in milliseconds. */
  now(): number;
  /** Milliseconds by a clock that nobody sets. */
  clock(): number;
  random(): number;
  setTimeout(call: () => void, ms: number): unknown;
  clearTimeout(timer: unknown): void;
  /** Calls when the network is back, or the page is looked at again. The result ends that. */
  onReturn(call: () => void): () => void;
}

/** The real one. */
export function realWorld(): World {
  return {
    WebSocket: (globalThis as { WebSocket?: WebSocketConstructor }).WebSocket,
    fetch: (input, init) => fetch(input, init),
    now: () => Date.now(),
    clock: () => performance.now(),
    random: Math.random,
    setTimeout: (call, ms) => setTimeout(call, ms),
    clearTimeout: (timer) => clearTimeout(timer as number),
    onReturn,
  };
}

function onReturn(call: () => void): () => void {
  const { document: page, addEventListener: listen } = globalThis as Partial<Window & typeof globalThis>;
  const onVisible = () => {
    if (page?.visibilityState === "visible") call();
  };
  listen?.("online", call);
  page?.addEventListener("visibilitychange", onVisible);
  return () => {
    if (listen) removeEventListener("online", call);
    page?.removeEventListener("visibilitychange", onVisible);
  };
}

/** Timers by name: setting one anew puts it off. */
export class Timers<Name extends string> {
  #world: World;
  #running = new Map<Name, unknown>();

  constructor(world: World) {
    this.#world = world;
  }

  set(name: Name, ms: number, call: () => void): void {
    this.clear(name);
    if (ms === Infinity) return;
    const run = () => {
      this.#running.delete(name);
      call();
    };
    this.#running.set(name, this.#world.setTimeout(run, Math.min(Math.max(0, ms), TIMER_MS_MAX)));
  }

  isSet(name: Name): boolean {
    return this.#running.has(name);
  }

  clear(name: Name): void {
    this.#world.clearTimeout(this.#running.get(name));
    this.#running.delete(name);
  }

  clearAll(): void {
    for (const name of [...this.#running.keys()]) this.clear(name);
  }
}

/** What a timer can wait at most; longer ones would run at once. */
const TIMER_MS_MAX = 2 ** 31 - 1;
