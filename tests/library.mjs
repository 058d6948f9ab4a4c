// What tests of the JavaScript client share: its states, and what its rooms hear.
import { within } from "./client.mjs";

// Node.js has its own from version 22 on.
const WebSocket = globalThis.WebSocket ?? (await import("ws")).WebSocket;

/** Short waits, so that nothing takes long; none of them decides a result. */
export const QUICK = { retryMinMs: 50, retryMaxMs: 200, WebSocket };

/** The next state that `status` names, or the present one. */
export function reaches(client, status) {
  if (client.state.status === status) return client.state;
  return within(new Promise((resolve) => {
    const stop = client.on("state", (state) => {
      if (state.status !== status) return;
      stop();
      resolve(state);
    });
  }), `the state ${status}`);
}

/** Keeps what a room hears in `heard`, and can wait for more. */
export function listening(room) {
  room.heard = [];
  const waiting = new Set();
  const hear = (what) => {
    room.heard.push(what);
    for (const look of waiting) look();
  };
  room.on("*", (payload) => hear(payload));
  room.on("gap", ({ reason }) => hear(`gap: ${reason}`));
  room.on("open", () => hear("open"));
  room.on("close", ({ error }) => hear(`close: ${error?.code}`));
  room.until = (last) => within(new Promise((resolve) => {
    const look = () => room.heard.includes(last) && resolve(waiting.delete(look));
    waiting.add(look);
    look();
  }), JSON.stringify(last)).catch((error) => {
    throw new Error(`${error.message}; heard: ${JSON.stringify(room.heard)}`);
  });
  return room;
}
