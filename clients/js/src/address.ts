// Where a node is: its WebSocket, and the streams beside it.

/** The WebSocket at `url`: `http` is taken for `ws`, a page's own origin for what is missing, `/ws` for no path. */
export function socketUrl(url: string | URL): string {
  const found = new URL(url, (globalThis as { location?: Location }).location?.href);
  found.protocol = found.protocol.replace("http", "ws");
  if (found.pathname === "/") found.pathname = "/ws";
  found.hash = "";
  return found.href;
}

/** The streams of the node whose WebSocket is at `socket`: beside it, called `events`. */
export function eventsUrl(socket: string, given: string | URL | undefined): string {
  const base = socket.replace(/^ws/, "http");
  return new URL(given ?? "events", base).href;
}
