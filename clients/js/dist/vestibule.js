// Vestibule's client, 0.1.0: made from clients/js/src of its repository. Apache-2.0.

function socketUrl(url) {
	const found = new URL(url, globalThis.location?.href);
	found.protocol = found.protocol.replace("http", "ws");
	if (found.pathname === "/")
		found.pathname = "/ws";
	found.hash = "";
	return found.href;
}
function eventsUrl(socket, given) {
	const base = socket.replace(/^ws/, "http");
	return new URL(given ?? "events", base).href;
}

var Emitter = class {
	#listeners = new Map();
	on(event, listener) {
		const set = this.#listeners.get(event) ?? new Set();
		this.#listeners.set(event, set.add(listener));
		return () => void set.delete(listener);
	}
	emit(event, ...args) {
		for (const listener of [...this.#listeners.get(event) ?? []]) {
			try {
				listener(...args);
			} catch (error) {
				queueMicrotask(() => {
					throw error;
				});
			}
		}
	}
};

function realWorld() {
	return {
		WebSocket: globalThis.WebSocket,
		fetch: (input, init) => fetch(input, init),
		now: () => Date.now(),
		clock: () => performance.now(),
		random: Math.random,
		setTimeout: (call, ms) => setTimeout(call, ms),
		clearTimeout: (timer) => clearTimeout(timer),
		onReturn
	};
}
function onReturn(call) {
	const { document: page, addEventListener: listen } = globalThis;
	const onVisible = () => {
		if (page?.visibilityState === "visible")
			call();
	};
	listen?.("online", call);
	page?.addEventListener("visibilitychange", onVisible);
	return () => {
		if (listen)
			removeEventListener("online", call);
		page?.removeEventListener("visibilitychange", onVisible);
	};
}
var Timers = class {
	#world;
	#running = new Map();
	constructor(world) {
		this.#world = world;
	}
	set(name, ms, call) {
		this.clear(name);
		if (ms === Infinity)
			return;
		const run = () => {
			this.#running.delete(name);
			call();
		};
		this.#running.set(name, this.#world.setTimeout(run, Math.min(Math.max(0, ms), TIMER_MS_MAX)));
	}
	isSet(name) {
		return this.#running.has(name);
	}
	clear(name) {
		this.#world.clearTimeout(this.#running.get(name));
		this.#running.delete(name);
	}
	clearAll() {
		for (const name of [...this.#running.keys()])
			this.clear(name);
	}
};
var TIMER_MS_MAX = 2 ** 31 - 1;

var Requests = class {
	#world;
	#pace;
	#timers;
	#first = [];
	#queued = [];
	#sent = new Map();
	#lastId = 0;
	constructor(world, pace) {
		this.#world = world;
		this.#pace = pace;
		this.#timers = new Timers(world);
	}
	get isBehind() {
		return this.#first.length + this.#queued.length > 0;
	}
	send(request, wire) {
		const id = ++this.#lastId;
		const late = () => request.done(new VestibuleError("timeout", `no answer within ${request.timeoutMs} ms`));
		const timer = request.timeoutMs === Infinity ? void 0 : this.#world.setTimeout(late, request.timeoutMs);
		this.#sent.set(id, { request, timer });
		wire.send(`${request.body.slice(0, -1)},"id":${id}}`);
	}
	queue(request) {
		const { queueLimit } = this.#pace;
		if (this.#queued.length >= queueLimit) {
			return request.done(new VestibuleError("queue_full", `${queueLimit} messages wait for a connection already`));
		}
		this.#queued.push(request);
	}
	flush(wire, first) {
		this.#first = first;
		this.#slice(wire, this.#pace.resumeBurst);
	}
	forget(request) {
		const waiting = this.#first.length;
		this.#first = this.#first.filter((first) => first !== request);
		return this.#first.length < waiting;
	}
	#slice(wire, count) {
		const slice = this.#first.splice(0, count);
		slice.push(...this.#queued.splice(0, count - slice.length));
		for (const request of slice)
			this.send(request, wire);
		const next = Math.max(1, Math.floor(this.#pace.resumePerSecond * SLICE_MS / 1e3));
		if (this.isBehind)
			this.#timers.set("slice", SLICE_MS, () => this.#slice(wire, next));
	}
	answer(id, answer) {
		const sent = this.#sent.get(id);
		if (!sent)
			return;
		this.#sent.delete(id);
		this.#world.clearTimeout(sent.timer);
		sent.request.done(answer);
	}
	rejectSent(error) {
		this.#timers.clearAll();
		for (const request of this.#first.splice(0))
			request.done(error);
		for (const id of [...this.#sent.keys()])
			this.answer(id, error);
	}
	rejectQueued(error) {
		for (const request of this.#queued.splice(0))
			request.done(error);
	}
};
var SLICE_MS = 500;

function verdictOf(code, reason) {
	switch (code) {
		case 1001:
			return retryHintMs(reason) === void 0 ? "back off" : "hinted";
		case 1002:
		case 1003:
		case 1007:
		case 1009:
			return "refused message";
		case 1008:
		case 4001:
		case 4003:
			return "stop";
		case 4010:
			return "fresh token";
		case 4029:
			return "back off long";
		default:
			return "back off";
	}
}
function retryHintMs(reason) {
	const found = /^retry=(\d{1,9})$/.exec(reason);
	return found ? Math.min(Number(found[1]), HINT_MS_MAX) : void 0;
}
function backOffMs(attempt, minMs, maxMs, random) {
	return random() * Math.min(maxMs, minMs * 2 ** attempt);
}
function longBackOffMs(maxMs, random) {
	return maxMs * (1 + random());
}
var HINT_MS_MAX = 3e5;

var Cursor = class {
	#at;
	#own = new Set();
	constructor(text) {
		this.#at = parse(text);
	}
	get text() {
		return this.#at && `${this.#at.epoch}-${this.#at.offset}`;
	}
	stand(text) {
		const to = parse(text);
		if (!to)
			return;
		if (this.#at?.epoch !== to.epoch)
			this.#own.clear();
		this.#at = to;
		this.#passOwn();
	}
	receive(text) {
		const to = parse(text);
		if (!to)
			return "new";
		if (this.#isBehind(to))
			return "seen";
		const own = this.#at?.epoch === to.epoch && this.#own.has(to.offset);
		this.stand(text);
		return own ? "own" : "new";
	}
	acknowledge(text) {
		const to = parse(text);
		if (!to || this.#at?.epoch !== to.epoch || this.#isBehind(to))
			return;
		this.#own.add(to.offset);
		this.#passOwn();
		const [oldest] = this.#own;
		if (this.#own.size > OWN_MAX && oldest !== void 0)
			this.#own.delete(oldest);
	}
	#isBehind({ epoch, offset }) {
		return this.#at?.epoch === epoch && offset <= this.#at.offset;
	}
	#passOwn() {
		const at = this.#at;
		if (!at || this.#own.size === 0)
			return;
		while (this.#own.delete(at.offset + 1))
			at.offset += 1;
		for (const offset of this.#own)
			if (offset <= at.offset)
				this.#own.delete(offset);
	}
};
function parse(text) {
	const found = text === void 0 ? null : /^([0-9a-f]{8})-(\d{1,20})$/.exec(text);
	return found ? { epoch: found[1], offset: Number(found[2]) } : void 0;
}
var OWN_MAX = 1e3;

var RoomState = class {
	name;
	status = "joining";
	position;
	cursor;
	wasJoined = false;
	#door;
	#since;
	#emitter = new Emitter();
	#held = [];
	constructor(name, since, door) {
		this.name = name;
		this.#since = since;
		this.cursor = new Cursor(since);
		this.#door = door;
	}
	on(event, listener) {
		if (this.#held)
			queueMicrotask(() => this.#release());
		return this.#emitter.on(event, listener);
	}
	publish(payload, options) {
		return this.#door.publish(this.name, payload, options);
	}
	leave() {
		return this.#door.leave(this);
	}
	get since() {
		return this.cursor.text ?? this.#since;
	}
	opened(since, position, recovered) {
		const again = this.wasJoined;
		this.status = "joined";
		this.wasJoined = true;
		this.#since = void 0;
		this.cursor.stand(position);
		const opened = { again };
		if (position !== void 0)
			opened.position = position;
		if (recovered !== void 0)
			opened.recovered = recovered;
		this.#hand(() => this.#emitter.emit("open", opened));
		if (recovered === false)
			this.#tellGap("not_recovered", position);
		else if (again && since === void 0)
			this.#tellGap("no_history", position);
		else
			this.#hand(() => this.position = position ?? this.position);
	}
	receive(payload, event, position) {
		if (this.status === "left" || this.cursor.receive(position) !== "new")
			return;
		const meta = { room: this.name };
		if (event !== void 0)
			meta.event = event;
		if (position !== void 0)
			meta.position = position;
		this.#hand(() => {
			this.position = position ?? this.position;
			this.#emitter.emit(event ?? "message", payload, meta);
			if (event !== "*")
				this.#emitter.emit("*", payload, meta);
		});
	}
	gap(reason, position) {
		this.cursor.stand(position);
		this.#tellGap(reason, position);
	}
	left(error) {
		if (this.status === "left")
			return;
		this.status = "left";
		const left = error ? { error } : {};
		this.#hand(() => this.#emitter.emit("close", left));
	}
	#tellGap(reason, position) {
		const gap = position === void 0 ? { reason } : { reason, position };
		this.#hand(() => {
			this.position = position ?? this.position;
			this.#emitter.emit("gap", gap);
		});
	}
	#hand(call) {
		if (!this.#held)
			return call();
		if (this.#held.length >= HELD_MAX) {
			const position = this.cursor.text;
			this.#held = [];
			this.#tellGap("unheard", position);
			return;
		}
		this.#held.push(call);
	}
	#release() {
		const held = this.#held ?? [];
		this.#held = void 0;
		for (const call of held)
			call();
	}
};
var HELD_MAX = 1e3;

var NO_CLOSE = 1006;
var SocketLink = class {
	transport = "websocket";
	#world;
	#times;
	#events;
	#socket;
	#timers;
	#heardAt = 0;
	#isOpen = false;
	#isOver = false;
	constructor(world, url, token, times, events) {
		this.#world = world;
		this.#times = times;
		this.#events = events;
		this.#timers = new Timers(world);
		const bearer = token === void 0 ? [] : [`bearer.${token}`];
		const socket = this.#socket = new world.WebSocket(url, ["vestibule", ...bearer]);
		this.#timers.set("open", times.openTimeoutMs, () => this.#end(NO_CLOSE, "the server did not answer in time"));
		socket.onmessage = ({ data }) => this.#receive(data);
		socket.onclose = ({ code, reason }) => this.#end(code, reason);
		socket.onerror = () => this.#timers.set("open", CLOSE_WITHIN_MS, () => this.#end(NO_CLOSE, "the connection failed"));
	}
	send(text) {
		this.#socket.send(text);
	}
	probe() {
		if (!this.#isOpen || this.#isOver || this.#timers.isSet("pong"))
			return;
		this.#socket.send('{"type":"ping"}');
		this.#timers.set("pong", this.#times.pingTimeoutMs, () => this.#end(NO_CLOSE, "the server did not answer a ping"));
	}
	close() {
		this.#isOver = true;
		this.#timers.clearAll();
		this.#socket.onmessage = this.#socket.onclose = null;
		this.#socket.onerror = () => {
		};
		this.#socket.close(1e3);
	}
	#receive(data) {
		this.#heardAt = this.#world.clock();
		this.#timers.clear("pong");
		const message = decode(data);
		if (this.#isOpen) {
			this.#events.message(message);
		} else if (message.type === "connected") {
			this.#isOpen = true;
			this.#timers.clear("open");
			this.#watch(this.#times.pingIntervalMs);
			this.#events.opened(message);
		}
	}
	#watch(inMs) {
		this.#timers.set("silence", inMs, () => {
			const leftMs = this.#heardAt + this.#times.pingIntervalMs - this.#world.clock();
			if (leftMs > 0)
				return this.#watch(leftMs);
			this.probe();
			this.#watch(this.#times.pingIntervalMs);
		});
	}
	#end(code, reason) {
		if (this.#isOver)
			return;
		this.close();
		this.#events.lost({ code, reason, answered: this.#isOpen || code !== NO_CLOSE });
	}
};
function decode(data) {
	try {
		return Object(JSON.parse(String(data)));
	} catch {
		return { type: "" };
	}
}
var CLOSE_WITHIN_MS = 100;

var BlockReader = class {
	#rest = "";
	#afterCr = false;
	#block = {};
	read(text) {
		if (text === "")
			return [];
		if (this.#afterCr && text.startsWith("\n"))
			text = text.slice(1);
		this.#afterCr = text.endsWith("\r");
		const lines = (this.#rest + text).split(/\r\n|\r|\n/);
		this.#rest = lines.pop() ?? "";
		const blocks = [];
		for (const line of lines) {
			if (line !== "") {
				this.#field(line);
				continue;
			}
			if (Object.keys(this.#block).length > 0)
				blocks.push(this.#block);
			this.#block = {};
		}
		return blocks;
	}
	#field(line) {
		const colon = line.indexOf(":");
		const name = colon < 0 ? line : line.slice(0, colon);
		const value = colon < 0 ? "" : line.slice(line[colon + 1] === " " ? colon + 2 : colon + 1);
		const block = this.#block;
		switch (name) {
			case "data":
				block.data = block.data === void 0 ? value : `${block.data}
${value}`;
				break;
			case "event":
			case "room":
				block[name] = value;
				break;
			case "id":
				if (!value.includes("\0"))
					block.id = value;
				break;
			case "retry":
				if (/^\d+$/.test(value))
					block.retry = Number(value);
				break;
		}
	}
};

var Ended = class extends Error {
	code;
	constructor(code, reason) {
		super(reason);
		this.code = code;
	}
};
var StreamLink = class {
	transport = "sse";
	#world;
	#url;
	#token;
	#times;
	#events;
	#timers;
	#streams = [];
	#isOpen = false;
	#isOver = false;
	constructor(world, url, token, times, events) {
		this.#world = world;
		this.#url = url;
		this.#token = token;
		this.#times = times;
		this.#events = events;
		this.#timers = new Timers(world);
		this.changed();
	}
	changed() {
		if (!this.#isOver)
			this.#timers.set("change", 0, () => this.#change());
	}
	close() {
		this.#isOver = true;
		this.#timers.clearAll();
		for (const stream of this.#streams)
			stream.close();
	}
	#change() {
		const wanted = this.#events.rooms();
		const missing = new Set(wanted.keys());
		const altered = new Set();
		for (const stream of this.#streams) {
			const staying = stream.rooms.filter((room) => wanted.has(room));
			if (staying.length !== stream.rooms.length)
				altered.add(stream);
			stream.rooms = staying;
			for (const room of staying)
				missing.delete(room);
		}
		for (const room of missing) {
			let stream = this.#streams.find(({ rooms }) => rooms.length < ROOMS_MAX);
			if (!stream)
				this.#streams.push(stream = this.#newStream());
			stream.rooms.push(room);
			altered.add(stream);
		}
		this.#streams = this.#streams.filter((stream) => {
			if (stream.rooms.length === 0)
				stream.close();
			return stream.rooms.length > 0;
		});
		for (const stream of this.#streams)
			if (altered.has(stream))
				void this.#run(stream);
		if (!this.#isOpen && this.#streams.length === 0)
			this.#end(new Ended(NO_CLOSE, "there is no room to hear"));
	}
	#newStream() {
		return new Stream(this.#world, this.#times, (block, stream) => this.#take(block, stream));
	}
	async #run(stream) {
		const isCurrent = stream.begin();
		try {
			const wanted = this.#events.rooms();
			stream.answers = 0;
			stream.pending = new Map(stream.rooms.map((room) => [room, wanted.get(room)]));
			const headers = this.#headers([...stream.pending.values()]);
			const response = await stream.request("GET", this.#target(stream.rooms), headers);
			if (!isCurrent())
				return;
			const isStream = response.ok && response.headers.get("content-type")?.startsWith("text/event-stream");
			if (!isStream)
				return await this.#refuse(stream, response);
			await stream.read(response, isCurrent);
			throw stream.retryMs === void 0 ? new Ended(NO_CLOSE, "the stream ended") : new Ended(1001, `retry=${stream.retryMs}`);
		} catch (error) {
			if (isCurrent())
				this.#end(error);
		}
	}
	#target(rooms) {
		const url = new URL(this.#url);
		for (const room of rooms)
			url.searchParams.append("room", room);
		return url.href;
	}
	#headers(places) {
		const headers = { accept: "text/event-stream" };
		if (this.#token !== void 0)
			headers["authorization"] = `Bearer ${this.#token}`;
		if (places.some(Boolean))
			headers["last-event-id"] = places.join(",");
		return headers;
	}
	#take({ event, data, id, room, retry }, stream) {
		const { rooms, pending } = stream;
		const places = id?.split(",") ?? [];
		const placeOf = (room2) => places[rooms.indexOf(room2)] || void 0;
		if (event !== "connected")
			stream.retryMs = retry ?? stream.retryMs;
		if (data === void 0) {
			const named = [...pending].find(([room2, since]) => !since && placeOf(room2));
			if (named)
				this.#joined(stream, named[0], placeOf(named[0]));
			else if (id)
				this.#settle(stream, 1);
			return;
		}
		const told = JSON.parse(data);
		if (event === "close")
			throw new Ended(told.code, told.reason);
		if (event === "gap") {
			if (!pending.has(told.room))
				return this.#events.gap(told.room, told.position);
			this.#joined(stream, told.room, told.position, false);
			this.#settle(stream, 0);
		} else if (event !== "connected") {
			const name = room ?? rooms[0];
			if (pending.get(name))
				this.#settle(stream, -1);
			this.#joined(stream, name);
			this.#events.publication(name, told, event, placeOf(name));
		} else if (!this.#isOpen) {
			this.#isOpen = true;
			this.#events.opened(told);
		}
	}
	#settle(stream, more) {
		stream.answers += more;
		const left = [...stream.pending].filter(([, since]) => since);
		if (more >= 0 && stream.answers >= left.length)
			for (const [room] of left)
				this.#joined(stream, room);
	}
	#joined({ pending }, room, position, recovered) {
		if (!pending.has(room))
			return;
		const since = pending.get(room);
		pending.delete(room);
		this.#events.joined(room, position, recovered ?? (since === void 0 ? void 0 : true));
	}
	async #refuse(stream, response) {
		const { status } = response;
		const body = await response.json().catch(() => ({}));
		const { code = "", message = `HTTP ${status}` } = body.error ?? {};
		if (status === 401)
			throw new Ended(this.#isOpen || /expired/.test(message) ? 4010 : 4001, message);
		if (code === "origin")
			throw new Ended(4003, message);
		if (status === 403 || status === 400)
			return await this.#refuseRooms(stream, status, message);
		if (status === 429 || status >= 500)
			throw new Ended(1013, message);
		throw new Ended(NO_CLOSE, `no stream there (HTTP ${status})`);
	}
	async #refuseRooms(stream, status, message) {
		const { rooms } = stream;
		const statusOf = async (room) => (await stream.request("HEAD", this.#target([room]), this.#headers([]))).status;
		const statuses = rooms.length === 1 ? [status] : await Promise.all(rooms.map(statusOf));
		const codes = statuses.map((status2) => REFUSED[status2]);
		if (!codes.some(Boolean))
			codes[codes.length - 1] = "too_many_rooms";
		for (const [index, code] of codes.entries())
			if (code !== void 0)
				this.#events.refused(rooms[index], code, message);
		this.changed();
	}
	#end(error) {
		if (this.#isOver)
			return;
		this.close();
		const { message } = error;
		const code = error instanceof Ended ? error.code : NO_CLOSE;
		this.#events.lost({ code, reason: message, answered: true });
	}
};
var Stream = class {
	rooms = [];
	pending = new Map();
	answers = 0;
	retryMs;
	#times;
	#world;
	#timers;
	#take;
	#abort;
	constructor(world, times, take) {
		this.#world = world;
		this.#times = times;
		this.#timers = new Timers(world);
		this.#take = take;
	}
	begin() {
		this.close();
		const abort = this.#abort = new AbortController();
		return () => this.#abort === abort;
	}
	close() {
		this.#timers.clearAll();
		this.#abort?.abort();
		this.#abort = void 0;
	}
	request(method, url, headers) {
		const { signal } = this.#abort;
		this.#expect(this.#times.openTimeoutMs);
		const credentials = "authorization" in headers ? "same-origin" : "include";
		return this.#world.fetch(url, { method, headers, cache: "no-store", credentials, signal });
	}
	async read(response, isCurrent) {
		const reader = response.body.getReader();
		const decoder = new TextDecoder();
		const blocks = new BlockReader();
		for (; ; ) {
			this.#expect(this.#times.streamTimeoutMs);
			const { value, done } = await reader.read();
			if (done || !isCurrent())
				return;
			for (const block of blocks.read(decoder.decode(value, { stream: true }))) {
				if (!isCurrent())
					return;
				this.#take(block, this);
			}
		}
	}
	#expect(ms) {
		const abort = this.#abort;
		this.#timers.set("silence", ms, () => abort?.abort(new Error("the stream fell silent")));
	}
};
var REFUSED = { 400: "room_name", 403: "forbidden" };
var ROOMS_MAX = 16;

function lastsMs(token, nowMs) {
	try {
		const claims = token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/");
		const { exp, iat } = JSON.parse(atob(claims));
		if (typeof exp !== "number")
			return void 0;
		const left = exp * 1e3 - nowMs;
		return typeof iat === "number" ? Math.min(left, (exp - iat) * 1e3) : left;
	} catch {
		return void 0;
	}
}

var DEFAULTS = {
	retryMinMs: 1e3,
	retryMaxMs: 3e4,
	retryLimit: Infinity,
	stableAfterMs: 1e4,
	openTimeoutMs: 1e4,
	requestTimeoutMs: 1e4,
	pingIntervalMs: 25e3,
	pingTimeoutMs: 1e4,
	queueLimit: 100,
	resumeBurst: 50,
	resumePerSecond: 40,
	refreshBeforeMs: 3e4,
	fallbackAfter: 2,
	upgradeIntervalMs: 6e4,
	streamTimeoutMs: 75e3
};
var Connection = class {
	state = { status: "connecting" };
	#options;
	#world;
	#socketUrl;
	#eventsUrl;
	#timers;
	#emitter = new Emitter();
	#entries = new Map();
	#requests;
	#link;
	#opening;
	#turn = 0;
	#attempts = 0;
	#blocked = 0;
	#mayHurry = false;
	#forgetReturn;
	constructor(url, options, world) {
		const given = Object.entries(options).filter(([, value]) => value !== void 0);
		this.#options = { ...DEFAULTS, ...Object.fromEntries(given) };
		this.#world = options.WebSocket ? { ...world, WebSocket: options.WebSocket } : world;
		if (!this.#world.WebSocket)
			throw new TypeError("there is no WebSocket here: pass one as an option");
		this.#socketUrl = socketUrl(url);
		if (options.eventsUrl !== false)
			this.#eventsUrl = eventsUrl(this.#socketUrl, options.eventsUrl);
		this.#timers = new Timers(world);
		this.#requests = new Requests(world, this.#options);
		this.#forgetReturn = world.onReturn(() => this.#onReturn());
		queueMicrotask(() => void this.#attempt());
	}
	on(event, listener) {
		return this.#emitter.on(event, listener);
	}
	async join(name, options = {}) {
		this.#refuseIfClosed();
		const known = this.#entries.get(name);
		if (known)
			return known.joined;
		const room = new RoomState(name, options.since, this);
		let settle = () => {
		};
		const joined = new Promise((resolve, reject) => {
			settle = (error) => error ? reject(error) : resolve(room);
		});
		const entry = { room, joined, settle };
		this.#entries.set(name, entry);
		if (this.#link instanceof SocketLink)
			this.#requests.send(this.#joining(entry), this.#link);
		else if (this.#link)
			this.#link.changed();
		else if (this.#isBlocked)
			this.#hurry();
		return joined;
	}
	async publish(room, payload, options = {}) {
		this.#refuseIfClosed();
		const body = JSON.stringify({ type: "broadcast", room, event: options.event, payload: payload ?? null });
		const acknowledged = (position2) => this.#entries.get(room)?.room.cursor.acknowledge(position2);
		const { position } = await this.#say(body, options, (answer) => acknowledged(answer.position));
		return position === void 0 ? {} : { position };
	}
	async send(event, payload, options = {}) {
		this.#refuseIfClosed();
		const body = JSON.stringify({ type: "event", event, payload: payload ?? null });
		return (await this.#say(body, options)).reply;
	}
	#say(body, options, heard) {
		const { timeoutMs = this.#options.requestTimeoutMs, queue = true } = options;
		const socket = this.#sendable();
		if (!socket && !queue)
			throw new VestibuleError("offline", "not connected");
		return new Promise((resolve, reject) => {
			const done = (answer) => {
				if (answer instanceof VestibuleError)
					return reject(answer);
				heard?.(answer);
				resolve(answer);
			};
			const request = { body, timeoutMs, done };
			if (socket && !(queue && this.#requests.isBehind))
				this.#requests.send(request, socket);
			else
				this.#requests.queue(request);
		});
	}
	async leave(room) {
		const entry = this.#entries.get(room.name);
		if (entry?.room !== room)
			return;
		this.#remove(room.name);
		const link = this.#link;
		if (link instanceof StreamLink)
			link.changed();
		if (!(link instanceof SocketLink) || this.#requests.forget(entry.asking))
			return;
		await new Promise((resolve) => this.#ask(link, { type: "leave", room: room.name }, resolve));
	}
	async ping() {
		this.#refuseIfClosed();
		const socket = this.#sendable();
		if (!socket)
			throw new VestibuleError("offline", "not connected");
		const sentAt = this.#world.clock();
		await new Promise((resolve, reject) => {
			this.#ask(socket, { type: "ping" }, (answer) => answer instanceof VestibuleError ? reject(answer) : resolve());
		});
		return this.#world.clock() - sentAt;
	}
	reconnect() {
		if (this.state.status !== "waiting")
			return;
		this.#timers.clear("retry");
		void this.#attempt();
	}
	close() {
		this.#end();
	}
	async #attempt() {
		if (this.state.status === "closed")
			return;
		const turn = ++this.#turn;
		this.#setState({ status: "connecting" });
		try {
			const token = await this.#token();
			if (turn === this.#turn)
				this.#openSocket(token);
		} catch (error) {
			if (turn === this.#turn)
				this.#lost({ code: NO_CLOSE, reason: messageOf(error), answered: true });
		}
	}
	#openSocket(token) {
		const link = new SocketLink(this.#world, this.#socketUrl, token, this.#options, {
			opened: (welcome) => {
				this.#blocked = 0;
				this.#link?.close();
				this.#link = link;
				this.#refreshLater(token);
				this.#requests.flush(link, [...this.#entries.values()].map((entry) => this.#joining(entry)));
				this.#opened(welcome);
			},
			message: (message) => this.#receive(message),
			lost: (loss) => {
				if (this.#link instanceof StreamLink)
					return this.#upgradeLater();
				this.#blocked = loss.answered ? 0 : this.#blocked + 1;
				if (!this.#isBlocked || !this.#openStreams(token))
					this.#lost(loss);
			}
		});
		this.#opening = link;
	}
	get #isBlocked() {
		return this.#blocked >= this.#options.fallbackAfter;
	}
	#openStreams(token) {
		if (this.#eventsUrl === void 0 || this.#entries.size === 0)
			return false;
		const link = new StreamLink(this.#world, this.#eventsUrl, token, this.#options, {
			rooms: () => new Map([...this.#entries].map(([name, { room }]) => [name, room.since])),
			opened: (welcome) => {
				this.#upgradeLater();
				this.#requests.rejectQueued(receiveOnly());
				this.#opened(welcome);
			},
			joined: (name, position, recovered) => {
				const entry = this.#entries.get(name);
				if (entry?.room.status === "joining")
					this.#joined(entry, entry.room.since, { position, recovered });
				else if (recovered === false)
					entry?.room.gap("not_recovered", position);
			},
			refused: (name, code, message) => this.#remove(name, new VestibuleError(code, message)),
			gap: (name, position) => this.#entries.get(name)?.room.gap("skipped", position),
			publication: (name, ...told) => this.#entries.get(name)?.room.receive(...told),
			lost: (loss) => this.#lost(loss)
		});
		this.#link = link;
		return true;
	}
	#opened({ userId, connection, shard }) {
		const transport = this.#link.transport;
		this.#timers.set("stable", this.#options.stableAfterMs, () => this.#attempts = 0);
		this.#setState({ status: "open", transport, userId, connection, ...shard !== void 0 && { shard } });
	}
	#upgradeLater() {
		const inMs = this.#options.upgradeIntervalMs * (0.75 + this.#world.random() / 2);
		this.#timers.set("upgrade", inMs, () => {
			const turn = this.#turn;
			this.#token().then((token) => turn === this.#turn && this.#openSocket(token)).catch(() => turn === this.#turn && this.#upgradeLater());
		});
	}
	async #token() {
		const { token, openTimeoutMs } = this.#options;
		if (typeof token !== "function")
			return token;
		let timer;
		const late = new Promise((_, reject) => {
			timer = this.#world.setTimeout(() => reject(new Error("no token came in time")), openTimeoutMs);
		});
		try {
			return await Promise.race([token(), late]);
		} finally {
			this.#world.clearTimeout(timer);
		}
	}
	#lost({ code, reason }) {
		const verdict = verdictOf(code, reason);
		const lost = new VestibuleError("lost", `the connection ended before the answer came (${code})`, code);
		this.#dropLink();
		this.#requests.rejectSent(lost);
		for (const { room, settle } of [...this.#entries.values()]) {
			if (room.status === "joined")
				room.status = "joining";
			else if (verdict === "refused message" && !room.wasJoined) {
				settle(lost);
				this.#remove(room.name, lost);
			}
		}
		const { retryMinMs, retryMaxMs } = this.#options;
		const { random } = this.#world;
		const backOff = () => backOffMs(this.#attempts, retryMinMs, retryMaxMs, random);
		switch (verdict) {
			case "stop":
				return this.#end(new VestibuleError(STOPPED[code] ?? "closed", reason || `closed with ${code}`, code));
			case "hinted":
				return this.#wait(retryHintMs(reason) ?? 0, false, code, reason);
			case "fresh token":
				if (typeof this.#options.token === "string") {
					return this.#end(new VestibuleError("token_expired", "the token has expired, and there is no other", code));
				}
				return this.#wait(this.#attempts === 0 ? 0 : backOff(), false, code, reason);
			case "back off long":
				return this.#wait(longBackOffMs(retryMaxMs, random), false, code, reason);
			default:
				return this.#wait(Math.max(backOff(), retryHintMs(reason) ?? 0), true, code, reason);
		}
	}
	#wait(retryInMs, mayHurry, code, reason) {
		if (this.state.status === "closed")
			return;
		this.#attempts += 1;
		if (this.#attempts > this.#options.retryLimit) {
			return this.#end(new VestibuleError("retry_limit", `no connection: ${reason || `closed with ${code}`}`, code));
		}
		this.#mayHurry = mayHurry;
		this.#timers.set("retry", retryInMs, () => void this.#attempt());
		this.#setState({ status: "waiting", retryInMs, reason, code });
	}
	#dropLink() {
		this.#turn += 1;
		this.#timers.clearAll();
		this.#opening?.close();
		this.#link?.close();
		this.#opening = this.#link = void 0;
	}
	#end(error) {
		if (this.state.status === "closed")
			return;
		this.#dropLink();
		this.#forgetReturn();
		this.#setState(error ? { status: "closed", error } : { status: "closed" });
		const closed = error ?? new VestibuleError("closed", "the client was closed");
		this.#requests.rejectSent(closed);
		this.#requests.rejectQueued(closed);
		for (const name of [...this.#entries.keys()])
			this.#remove(name, error);
	}
	#onReturn() {
		if (this.#link instanceof SocketLink)
			this.#link.probe();
		else
			this.#hurry();
	}
	#hurry() {
		if (this.state.status !== "waiting" || !this.#mayHurry)
			return;
		this.#mayHurry = false;
		this.#timers.set("retry", this.#world.random() * this.#options.retryMinMs, () => void this.#attempt());
	}
	#receive(message) {
		const room = typeof message["room"] === "string" ? this.#entries.get(message["room"])?.room : void 0;
		const { payload, event, position } = message;
		switch (message.type) {
			case "message":
				return room?.receive(payload, event, position);
			case "gap":
				return room?.gap("skipped", position);
			case "ack":
				return this.#requests.answer(message["id"], message);
			case "error": {
				const error = new VestibuleError(String(message["code"]), String(message["message"] ?? message["code"]));
				if (message["id"] === void 0)
					this.#emitter.emit("error", error);
				else
					this.#requests.answer(message["id"], error);
			}
		}
	}
	#sendable() {
		if (this.#link instanceof SocketLink)
			return this.#link;
		if (this.#link && this.state.status === "open")
			throw receiveOnly();
		return void 0;
	}
	#ask(link, body, done) {
		this.#requests.send({ body: JSON.stringify(body), timeoutMs: this.#options.requestTimeoutMs, done }, link);
	}
	#joining(entry) {
		const { room } = entry;
		const { since, name } = room;
		const done = (answer) => {
			if (this.#entries.get(name) !== entry)
				return;
			if (!(answer instanceof VestibuleError))
				this.#joined(entry, since, answer);
			else if (answer.code === "hook_timeout" && room.wasJoined)
				this.#joinLater(entry);
			else if (answer.code !== "lost")
				this.#remove(name, answer);
		};
		return entry.asking = { body: JSON.stringify({ type: "join", room: name, since }), timeoutMs: Infinity, done };
	}
	#joinLater(entry) {
		const link = this.#link;
		this.#world.setTimeout(() => {
			const isWanted = this.#entries.get(entry.room.name) === entry && this.#link === link;
			if (isWanted && link instanceof SocketLink)
				this.#requests.send(this.#joining(entry), link);
		}, this.#options.retryMaxMs * (0.25 + this.#world.random() / 4));
	}
	#joined({ room, settle }, since, { position, recovered }) {
		room.opened(since, position, recovered);
		settle();
	}
	#remove(name, error) {
		const entry = this.#entries.get(name);
		this.#entries.delete(name);
		entry?.settle(error ?? new VestibuleError("closed", "the room was left"));
		entry?.room.left(error);
	}
	#refreshLater(token) {
		const leftMs = token === void 0 ? void 0 : lastsMs(token, this.#world.now());
		if (leftMs === void 0 || leftMs <= 0 || typeof this.#options.token !== "function")
			return;
		const inMs = Math.max(leftMs / 2, leftMs - this.#options.refreshBeforeMs, REFRESH_MS_MIN);
		this.#timers.set("refresh", inMs, () => void this.#refresh());
	}
	async #refresh() {
		const turn = this.#turn;
		const token = await this.#token().catch(() => void 0);
		const link = this.#link;
		if (token === void 0 || turn !== this.#turn || !(link instanceof SocketLink))
			return;
		this.#ask(link, { type: "refresh", token }, (answer) => {
			if (!(answer instanceof VestibuleError))
				this.#refreshLater(token);
		});
	}
	#refuseIfClosed() {
		if (this.state.status === "closed")
			throw this.state.error ?? new VestibuleError("closed", "the client was closed");
	}
	#setState(state) {
		this.state = state;
		this.#emitter.emit("state", state);
	}
};
function receiveOnly() {
	return new VestibuleError("receive_only", "connected by a stream, over which nothing can be sent");
}
function messageOf(error) {
	return error instanceof Error ? error.message : String(error);
}
var STOPPED = { 1008: "policy", 4001: "unauthorized", 4003: "forbidden" };
var REFRESH_MS_MIN = 1e3;

var VestibuleError = class extends Error {
	name = "VestibuleError";
	code;
	closeCode;
	constructor(code, message, closeCode) {
		super(message);
		this.code = code;
		this.closeCode = closeCode;
	}
};
function connect(url, options = {}) {
	return new Connection(url, options, realWorld());
}
export {
	VestibuleError,
	connect
};
