// A network between client and server that a test can break: it hands bytes on both ways, to whichever server it is
// told, until it cuts them, holds them, or lets no WebSocket through.
import { connect, createServer } from "node:net";

export class Relay {
  /** Whether requests to become a WebSocket are cut, as some networks do. */
  blocksWebSocket = false;
  /** Whether connections are cut as soon as they come. */
  isDown = false;
  /** Connections so far. */
  accepted = 0;
  #listener;
  #target;
  #pairs = new Set();

  /** Listens on a free port, for `server`. */
  static async to(server) {
    const relay = new Relay();
    relay.#target = server;
    relay.#listener = createServer((client) => relay.#join(client));
    await new Promise((resolve) => { relay.#listener.listen(0, "127.0.0.1", resolve); });
    relay.host = `127.0.0.1:${relay.#listener.address().port}`;
    return relay;
  }

  /** New connections go to this server. */
  turn(server) {
    this.#target = server;
  }

  /** Cuts all connections, both sides, with RST. */
  cut() {
    for (const pair of this.#pairs) pair.forEach(reset);
  }

  close() {
    this.#listener.close();
    this.cut();
  }

  #join(client) {
    this.accepted += 1;
    if (this.isDown) return reset(client);
    const server = connect(this.#target.port, "127.0.0.1");
    const pair = [client, server];
    this.#pairs.add(pair);
    for (const [from, to] of [[client, server], [server, client]]) {
      from.on("data", (bytes) => {
        if (from === client && this.blocksWebSocket && /^upgrade: *websocket/im.test(bytes.toString("latin1"))) {
          pair.forEach(reset);
          return;
        }
        to.write(bytes);
      });
      from.on("end", () => to.end());
      from.on("error", () => to.destroy());
      from.on("close", () => {
        this.#pairs.delete(pair);
        to.destroy();
      });
    }
  }
}

/**
 * Cuts a socket off with RST. One whose end is under way is only closed: Node cannot reset it, forgets it open, and its
 * process then never ends.
 */
function reset(socket) {
  if (socket.writableEnded) socket.destroy();
  else socket.resetAndDestroy();
}
