"""A small chat behind Vestibule. Needs Python alone, and the key in hooks.key; keeps all it knows in chat.db."""
import base64, hmac, json, os, sqlite3, threading, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

KEY = base64.b64decode(open("hooks.key").read().strip().removeprefix("whsec_"))
SESSIONS = {"session-of-ada": "ada", "session-of-ben": "ben"}       # your sessions
ROOMS = {"chat:lobby": {"ada", "ben"}, "chat:staff": {"ada"}}       # and who may be where

lock, db = threading.Lock(), sqlite3.connect("chat.db", check_same_thread=False)
db.executescript("""
    CREATE TABLE IF NOT EXISTS message (id INTEGER PRIMARY KEY, call TEXT UNIQUE, room TEXT, user TEXT, text TEXT);
    CREATE TABLE IF NOT EXISTS present (request TEXT, room TEXT, user TEXT, number INTEGER, UNIQUE (request, room));
    CREATE TABLE IF NOT EXISTS gone (request TEXT PRIMARY KEY);
""")

def users(room):
    return [user for user, in db.execute("SELECT DISTINCT user FROM present WHERE room = ? ORDER BY 1", [room])]

def here(room):     # what a room is told when somebody comes or goes; told twice, it does no harm
    return {"room": room, "event": "here", "payload": users(room)}

def number(call):   # webhook-id ends in how manyeth event of its connection it is: what is late undoes nothing newer
    return int(call.rpartition("_")[2])

def connect(data, call):
    user = SESSIONS.get(data.get("token"))
    return {"allow": True, "userId": user} if user else {"allow": False, "reason": "no such session"}

def join(data, call):
    request, user, room = data["request"], data["user"], data["room"]
    if user not in ROOMS.get(room, ()):
        return {"allow": False, "reason": "you are not invited"}
    if not db.execute("SELECT 1 FROM gone WHERE request = ?", [request]).fetchone():
        db.execute("REPLACE INTO present VALUES (?, ?, ?, ?)", [request, room, user, number(call)])
    return {"allow": True, "publish": [here(room)]}

def message(data, call):
    payload = data["payload"] if isinstance(data["payload"], dict) else {}
    room, text, user = str(payload.get("room")), payload.get("text"), data["user"]
    if user not in ROOMS.get(room, ()):
        return {"allow": False, "reason": "you are not invited"}
    if data["event"] == "who":
        return {"reply": users(room)}
    if data["event"] != "say" or not isinstance(text, str) or not 0 < len(text) <= 1000:
        return {"allow": False, "reason": "say something, in 1000 characters at most"}
    text = text.encode(errors="replace").decode()       # JSON may hold half a surrogate pair, and SQLite may not
    db.execute("INSERT OR IGNORE INTO message VALUES (NULL, ?, ?, ?, ?)", [call, room, user, text])
    [id] = db.execute("SELECT id FROM message WHERE call = ?", [call]).fetchone()
    said, sender = {"id": id, "user": user, "text": text}, {"connections": [data["connection"]]}
    return {"publish": [{"room": room, "event": "said", "payload": said, "except": sender}], "reply": {"id": id}}

def leave(data, call):
    left = [data["request"], data["room"], number(call)]
    db.execute("DELETE FROM present WHERE request = ? AND room = ? AND number < ?", left)
    return {"publish": [here(data["room"])]}

def disconnect(data, call):
    db.execute("INSERT OR IGNORE INTO gone VALUES (?)", [data["request"]])
    db.execute("DELETE FROM present WHERE request = ?", [data["request"]])
    return {"publish": [here(room) for room in data["rooms"]]}

HOOKS = {hook.__name__: hook for hook in (connect, join, message, leave, disconnect)}
class Handler(BaseHTTPRequestHandler):
    protocol_version, wbufsize = "HTTP/1.1", 65536      # connections are kept; head and body leave together

    def do_POST(self):
        call, at, signature = (self.headers.get(f"webhook-{it}", "") for it in ("id", "timestamp", "signature"))
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        ours = "v1," + base64.b64encode(hmac.digest(KEY, f"{call}.{at}.".encode() + body, "sha256")).decode()
        is_good = hmac.compare_digest(ours.encode(), signature.encode()) and abs(time.time() - int(at)) <= 300
        with lock, db:      # one call at a time, and each whole or not at all
            answer = HOOKS[(event := json.loads(body))["type"]](event["data"], call) if is_good else {}
        answer = json.dumps(answer).encode()
        self.send_response(200 if is_good else 400)
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

ThreadingHTTPServer(("127.0.0.1", int(os.environ.get("PORT", 3000))), Handler).serve_forever()
