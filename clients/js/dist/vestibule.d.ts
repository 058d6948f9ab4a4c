/** Payloads by the name of their event. Publications without a name are `message`. */
export type EventMap = object;
/** Names of events with payloads of which nothing is known. */
export type AnyEvents = Record<string, unknown>;
/** What opens a WebSocket. */
export type WebSocketConstructor = new (url: string, protocols?: string[]) => WebSocket;
export interface Options {
    /**
     * The token, or what brings one: it is asked before each attempt to connect, and again before the token ends.
     * Without one a cookie may tell who it is.
     */
    token?: string | (() => string | Promise<string>);
    /** The first step of the back-off: the first wait is a random time up to this. Default 1000. */
    retryMinMs?: number;
    /** The longest step of the back-off. Default 30000. */
    retryMaxMs?: number;
    /** Attempts in a row without a stable connection, until it is given up. Default Infinity. */
    retryLimit?: number;
    /** How long a connection has to stand until the back-off begins anew after it. Default 10000. */
    stableAfterMs?: number;
    /** How long a token, or a handshake, may take. Default 10000. */
    openTimeoutMs?: number;
    /** How long a request may wait for its answer once it is sent. Default 10000. */
    requestTimeoutMs?: number;
    /** After so long a silence the server is asked whether it is there. Default 25000; Infinity: never. */
    pingIntervalMs?: number;
    /** How long it may take to answer that. Default 10000. */
    pingTimeoutMs?: number;
    /** Broadcasts that wait for a connection at most; further ones are rejected with `queue_full`. Default 100. */
    queueLimit?: number;
    /**
     * Joins and queued broadcasts that a new connection is sent at once, and each second after that: below what the
     * server takes of one client (`limits.burst` and `limits.messages_per_second`). Default 50, and 40.
     */
    resumeBurst?: number;
    resumePerSecond?: number;
    /** How long before its end a token is replaced on an open connection. Default 30000. */
    refreshBeforeMs?: number;
    /** Where streams are, for when WebSocket is blocked. Default `events` beside the WebSocket; false: not used. */
    eventsUrl?: string | URL | false;
    /** WebSockets in a row that could not be opened, until a stream is tried. Default 2. */
    fallbackAfter?: number;
    /** How often the WebSocket is tried again behind a stream. Default 60000. */
    upgradeIntervalMs?: number;
    /** A stream that is silent for so long, its heartbeats included, is dead. Default 75000. */
    streamTimeoutMs?: number;
    /** Where there is no global one (Node.js before 22): the constructor of npm's `ws`, for example. */
    WebSocket?: WebSocketConstructor;
}
export type State = 
/** A token is fetched, or a connection opened. */
{
    status: "connecting";
}
/** Connected. By `sse` one hears and cannot publish. */
 | {
    status: "open";
    transport: "websocket" | "sse";
    userId: string;
    connection: string;
    shard?: number;
}
/** Not connected; the next attempt begins by itself. `code` is that of the close. */
 | {
    status: "waiting";
    retryInMs: number;
    reason: string;
    code: number;
}
/** Over for good: by `close()`, or for the reason in `error`. */
 | {
    status: "closed";
    error?: VestibuleError;
};
/** Events of a client. */
export interface ClientEvents {
    state: State;
    /** What the server complained of, where no promise is there to be rejected. */
    error: VestibuleError;
}
export interface JoinOptions {
    /** A position that was kept: what was published since comes first. `earliest`: all that is held. */
    since?: string;
}
export interface SendOptions {
    /** How long it may wait for its answer once it is sent. Default `requestTimeoutMs`. */
    timeoutMs?: number;
    /** False: it is rejected with `offline` rather than to wait for a connection. Default true. */
    queue?: boolean;
}
export interface PublishOptions<Event extends string = string> extends SendOptions {
    /** The name of what happened; without one it is a `message`. */
    event?: Event;
}
export interface Published {
    /** The place behind it, in a room with history. */
    position?: string;
}
/** What is known of a publication beside its payload. */
export interface Meta {
    room: string;
    /** Its name, if it has one. */
    event?: string;
    /** The place behind it, in a room with history: `since` for a later join. */
    position?: string;
}
/** The room was joined, for the first time or again. */
export interface Opened {
    /** Where it is read from on, in a room with history. */
    position?: string;
    /** Whether all that was missed follows; undefined where it was not asked for. */
    recovered?: boolean;
    /** Whether it had been joined before. */
    again: boolean;
}
/** Publications are missing here. Fetch anew what you show. */
export interface Gap {
    /**
     * - `not_recovered`: what was said meanwhile is no longer held.
     * - `no_history`: the connection was away, and the room keeps nothing.
     * - `skipped`: the server could not deliver it.
     * - `unheard`: it waited here for a first listener, and became too much.
     */
    reason: "not_recovered" | "no_history" | "skipped" | "unheard";
    /** From where on nothing is missing, where it is known. */
    position?: string;
}
/** The room is left: by `leave()`, or because of `error`. */
export interface Left {
    error?: VestibuleError;
}
/** A room's own events; a publication cannot have these names. */
export interface RoomEvents {
    open: Opened;
    gap: Gap;
    close: Left;
}
type Named<Events> = Exclude<keyof Events & string, keyof RoomEvents | "*">;
/** A room that one is in. What comes before the first listener waits for it. */
export interface Room<Events extends EventMap = AnyEvents> {
    readonly name: string;
    /** `joining`: not, or not yet again. */
    readonly status: "joining" | "joined" | "left";
    /** Behind what was handed to listeners, in a room with history: `since` for a later join. */
    readonly position: string | undefined;
    /** Listens; the result ends that. `*` hears all publications. */
    on<Name extends keyof RoomEvents>(event: Name, listener: (told: RoomEvents[Name]) => void): () => void;
    on<Name extends Named<Events>>(event: Name, listener: (payload: Events[Name], meta: Meta) => void): () => void;
    on(event: "*", listener: (payload: Events[Named<Events>], meta: Meta) => void): () => void;
    /** To all members but oneself; resolves when the server has taken it. */
    publish<Name extends Named<Events>>(payload: Events[Name], options: PublishOptions<Name> & {
        event: Name;
    }): Promise<Published>;
    publish(payload: "message" extends Named<Events> ? Events["message" & keyof Events] : unknown, options?: PublishOptions<never>): Promise<Published>;
    leave(): Promise<void>;
}
export interface Client<Events extends EventMap = AnyEvents> {
    readonly state: State;
    /** Listens; the result ends that. */
    on<Name extends keyof ClientEvents>(event: Name, listener: (told: ClientEvents[Name]) => void): () => void;
    /** Joins, as soon as there is a connection; stays in the room over all connections to come. */
    join<RoomsEvents extends EventMap = Events>(room: string, options?: JoinOptions): Promise<Room<RoomsEvents>>;
    /** As a room's `publish`, which needs no membership. */
    publish(room: string, payload: unknown, options?: PublishOptions): Promise<Published>;
    /** Tells the application's backend, by its hook; resolves to what that replies, if it replies anything. */
    send(event: string, payload?: unknown, options?: SendOptions): Promise<unknown>;
    /** Milliseconds to the server and back. */
    ping(): Promise<number>;
    /** Ends a wait: tries to connect now. */
    reconnect(): void;
    /** Ends it for good; what waits for an answer is rejected. */
    close(): void;
}
/**
 * Why something was not done. `code` is the server's (`forbidden`, `bad_message`, …) or one of the client's:
 *
 * - `lost`: the connection ended before the answer came; it may have been done, or not.
 * - `timeout`: no answer in time; it may have been done, or not.
 * - `offline`, `queue_full`: not connected, and it may not wait, or too many wait already.
 * - `receive_only`: connected by a stream, over which nothing can be sent.
 * - `closed`: the client was closed, or the room left.
 * - `unauthorized`, `forbidden`, `token_expired`, `policy`: the server does not want this client.
 * - `hook_refused`, `hook_timeout`, `no_hook`: the application said no, or nothing, or cannot be told.
 * - `retry_limit`: no connection after `retryLimit` attempts.
 */
export declare class VestibuleError extends Error {
    readonly name = "VestibuleError";
    readonly code: string;
    /** The code of the close that caused it. */
    readonly closeCode: number | undefined;
    constructor(code: string, message: string, closeCode?: number);
}
/**
 * Connects to the node at `url`, and keeps connecting until it is closed.
 *
 * `url` is the WebSocket's, `wss://edge.example.com/ws`; `https` is taken for `wss`, a page's own origin for what is
 * missing, and `/ws` for no path.
 */
export declare function connect<Events extends EventMap = AnyEvents>(url: string | URL, options?: Options): Client<Events>;
export {};
