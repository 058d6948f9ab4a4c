// Starts and stops the real binary for the tests that come from outside.
//
// Takes free ports, waits until the listener answers, ends what it started by
// its own process id, and keeps what the server printed for a failing test.
import { spawn } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createHmac } from "node:crypto";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

const READY_WITHIN_MS = 15_000;
const EXIT_WITHIN_MS = 15_000;
const PORT_DRAWS = 5;

export const SECRET = "a key for the tests alone, of more than 32 bytes";

const API_KEY = "a-key-for-the-api-of-the-tests";

/** Calls the API with a body as it is written, and resolves to its answer. */
export async function call(server, path, body) {
  const response = await fetch(`http://${server.admin}/api${path}`, {
    method: "POST",
    headers: { authorization: `Bearer ${API_KEY}`, "content-type": "application/json" },
    body,
  });
  const answer = await response.json();
  if (!response.ok) throw new Error(`${path} ${response.status}: ${JSON.stringify(answer)}`);
  return answer;
}

/** The program under test: its path comes from VESTIBULE_BIN. */
export function binary() {
  const path = process.env.VESTIBULE_BIN;
  if (!path) throw new Error("VESTIBULE_BIN names no program to test");
  return path;
}

/** Ports that were free a moment ago; each is held until the last is known, so that no two are the same. */
export async function freePorts(count) {
  const held = await Promise.all(Array.from({ length: count }, () => new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once("error", reject);
    probe.listen(0, "127.0.0.1", () => resolve(probe));
  })));
  const ports = held.map((probe) => probe.address().port);
  await Promise.all(held.map((probe) => new Promise((resolve) => { probe.close(resolve); })));
  return ports;
}

/** A running server. */
export class Server {
  #child;
  #exit;
  #printed = [];

  constructor(port, args, env) {
    this.port = port;
    this.host = `127.0.0.1:${port}`;
    this.#child = spawn(binary(), args, {
      // Everything it can say, so that what it must not say is looked for in all of it.
      env: { ...process.env, RUST_LOG: "info,vestibule=trace", ...env },
      stdio: ["ignore", "pipe", "pipe"],
    });
    this.#child.stdout.on("data", (bytes) => this.#printed.push(bytes));
    this.#child.stderr.on("data", (bytes) => this.#printed.push(bytes));
    this.#exit = new Promise((resolve) => {
      this.#child.once("error", (error) => resolve({ error }));
      this.#child.once("exit", (code, signal) => resolve({ code, signal }));
    });
  }

  /** Everything that it printed so far. */
  get output() {
    return Buffer.concat(this.#printed).toString();
  }

  /** Resolves once the listener accepts. */
  async ready() {
    const deadline = Date.now() + READY_WITHIN_MS;
    for (;;) {
      if (await answers(this.port)) return this;
      const ended = await Promise.race([this.#exit, pause(50)]);
      if (ended) throw new Error(`the server ended before it listened: ${describe(ended)}\n${this.output}`);
      if (Date.now() > deadline) {
        this.#child.kill("SIGKILL");
        throw new Error(`nothing listens on port ${this.port}\n${this.output}`);
      }
    }
  }

  /** Stops it in its tracks, with its sockets open, until it is killed. */
  freeze() {
    this.#child.kill("SIGSTOP");
  }

  /** Lets it go on. */
  thaw() {
    this.#child.kill("SIGCONT");
  }

  /** SIGTERM; resolves to the exit status once it is gone. */
  async stop(signal = "SIGTERM") {
    this.#child.kill(signal);
    const ended = await Promise.race([this.#exit, pause(EXIT_WITHIN_MS)]);
    const told = this.output.split("\n").find(tells);
    if (told !== undefined) throw new Error(`the log tells what must never be logged: ${told}`);
    if (ended) return ended;
    this.#child.kill("SIGKILL");
    await this.#exit;
    throw new Error(`the server did not end within ${EXIT_WITHIN_MS} ms\n${this.output}`);
  }
}

/** Whether a line bears the key, or a token: header and claims of each begin with the base64 of `{"`. */
function tells(line) {
  return line.includes("eyJ") || line.includes(SECRET);
}

/** `vestibule demo` on `port`, or on a free one. */
export function demo(port) {
  return drawn(async ([free, adminPort]) => {
    const chosen = port ?? free;
    const env = {
      VESTIBULE_ADMIN__ADDRESS: `127.0.0.1:${adminPort}`,
      VESTIBULE_SERVER__WORKERS: "2",
      VESTIBULE_SERVER__DRAIN: "1s",
    };
    return new Server(chosen, ["demo", "--address", `127.0.0.1:${chosen}`], env).ready();
  });
}

/** `vestibule serve` with the rooms and limits that the node tests speak of. */
export function serve({ refuse = "close-4001", key = `hs256_secret = "${SECRET}"`, auth = "", origins, rules = "", env = {} } = {}) {
  const page = JSON.stringify(origins ?? ["https://app.example.com"]);
  const said = `allowed_origins = ${page}\nrefuse = "${refuse}"\n${key}\n${auth}\n${rules}`;
  return serveBy((port, adminPort) => configuration(port, adminPort, said), env);
}

/** `vestibule serve` with what `write` makes of two ports, the listener's and the operators'. */
export function serveBy(write, env = {}) {
  return drawn(async ([port, adminPort]) => {
    const folder = await mkdtemp(join(tmpdir(), "vestibule-test-"));
    const file = join(folder, "vestibule.toml");
    await writeFile(file, write(port, adminPort));
    try {
      // It reads its configuration before it listens.
      const server = await new Server(port, ["serve", "--config", file], env).ready();
      server.admin = `127.0.0.1:${adminPort}`;
      return server;
    } finally {
      await rm(folder, { recursive: true });
    }
  });
}

/** Starts a server on free ports; draws again where somebody took one meanwhile. */
async function drawn(start) {
  for (let draw = 1; ; draw++) {
    try {
      return await start(await freePorts(2));
    } catch (error) {
      if (draw === PORT_DRAWS || !/in use|os error 98/.test(error.message)) throw error;
    }
  }
}

/** A JWT signed with `secret`, made without any of the server's own code. */
export function token(user, { secret = SECRET, expiresIn = 3600, ...claims } = {}) {
  const encode = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const exp = Math.floor(Date.now() / 1000) + expiresIn;
  const signed = `${encode({ alg: "HS256", typ: "JWT" })}.${encode({ sub: user, exp, ...claims })}`;
  return `${signed}.${createHmac("sha256", secret).update(signed).digest("base64url")}`;
}

function configuration(port, adminPort, auth) {
  return `
[[listener]]
address = "127.0.0.1:${port}"

[server]
workers = 2
drain = "1s"

[admin]
address = "127.0.0.1:${adminPort}"
keys = ["${API_KEY}"]

[auth]
mode = "jwt"
${auth}

[[room]]
pattern = "user:{user}"
join = "owner"
publish = "nobody"

[[room]]
pattern = "secret:*"
join = "nobody"
publish = "nobody"

[[room]]
pattern = "quiet:*"
join = "authenticated"
publish = "nobody"

[[room]]
pattern = "listed:*"
join = "token"
publish = "token"

[[room]]
pattern = "*"
join = "authenticated"
publish = "authenticated"

[limits]
rooms_per_connection = 5
messages_per_second = 100000
burst = 100000

[websocket]
echo = "/echo"
`;
}

/** Whether somebody accepts there. */
export function answers(port) {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.once("connect", () => { socket.destroy(); resolve(true); });
    socket.once("error", () => resolve(false));
  });
}

function pause(ms) {
  return new Promise((resolve) => { setTimeout(resolve, ms, null).unref(); });
}

function describe({ code, signal, error }) {
  return error ? String(error) : signal ? `signal ${signal}` : `exit ${code}`;
}
