"""A small chat behind Vestibule, the application's side of it: python3 chat.py [PORT]"""
import base64, hashlib, hmac, json, os, sys, threading, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SECRET = os.environ.get("HOOKS_SECRET", "whsec_YW4gZXhhbXBsZSBzZWNyZXQ6IG1ha2UgeW91ciBvd24=")
KEY = base64.b64decode(SECRET.removeprefix("whsec_"))
FILE = os.environ.get("CHAT_FILE", "messages.jsonl")
SESSIONS = {"token-of-ada": "ada", "token-of-grace": "grace"}  # yours are in a database
ROOMS = {"chat:lobby": {"ada", "grace"}, "chat:staff": {"ada"}}
online, lock = set(), threading.Lock()

def is_genuine(headers, body):
    name, at = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not at.isdigit() or abs(time.time() - int(at)) > 300:
        return False
    digest = hmac.digest(KEY, f"{name}.{at}.".encode() + body, hashlib.sha256)
    expected = "v1," + base64.b64encode(digest).decode()
    return any(hmac.compare_digest(expected, each) for each in headers.get("webhook-signature", "").split())

def saved():
    if not os.path.exists(FILE):
        return []
    with open(FILE, encoding="utf-8") as file:
        return [json.loads(line) for line in file]

def save(name, message):
    """Once, however often it comes: a call that is made again has the same name."""
    messages = saved()
    for earlier in messages:
        if earlier["name"] == name:
            return earlier
    message = {"name": name, "number": len(messages) + 1, **message}
    with open(FILE, "a", encoding="utf-8") as file:
        file.write(json.dumps(message) + "\n")
    return message

def count():
    return [{"room": "chat:lobby", "event": "online", "payload": len(online)}]

def answer(name, event):
    data = event["data"]
    may_enter = lambda room: data.get("user") in ROOMS.get(room, ())
    match event["type"], data:
        case "connect", {"token": token, "request": request} if token in SESSIONS:
            online.add(request)
            return {"allow": True, "userId": SESSIONS[token], "join": ["chat:lobby"], "publish": count()}
        case "join", {"room": room} if may_enter(room):
            return {"allow": True}
        case "message", {"event": "say", "payload": {"room": str(room), "text": str(text)}} if may_enter(room):
            message = save(name, {"room": room, "from": data["user"], "text": text})
            said = {"room": room, "event": "say", "payload": message, "except": {"connections": [data["connection"]]}}
            return {"reply": message["number"], "publish": [said]}
        case "disconnect", {"request": request}:
            online.discard(request)
            return {"publish": count()}
    return {"allow": False, "reason": "not for you"}

class Application(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body of an answer leave together

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        if self.path != "/hooks" or not is_genuine(self.headers, body):
            return self.send(401, {"error": "not signed"})
        with lock:
            self.send(200, answer(self.headers["webhook-id"], json.loads(body)))

    def do_GET(self):
        self.send(200, [message for message in saved() if message["room"] == "chat:lobby"])

    def send(self, status, value):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1]) if sys.argv[1:] else 3000), Application).serve_forever()
