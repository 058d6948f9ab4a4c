#!/usr/bin/env python3
"""Holds the API of a running node against its document, src/api/openapi.json.

schemathesis makes requests that the document allows and requests that it does
not, and judges the answers: no 5xx but those that are documented, no status,
field or content type that is not, what is allowed accepted, what is not
refused, no other method, nothing without a key. Meanwhile clients are
connected, so that there is something to list, to publish to and to close.

Starts the real program, and ends it by its own process id. schemathesis is
installed once, outside the tree, in ${XDG_CACHE_HOME:-~/.cache}/vestibule-tests.

The last line is "N passed, N failed, N skipped", counting operations.
Exit code: 0 all passed, 1 not.
"""

import argparse
import base64
import hmac
import json
import os
import pathlib
import re
import subprocess
import sys
import time
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
sys.dont_write_bytecode = True
sys.path.insert(0, str(HERE.parent))
from packages import install  # noqa: E402
from program import READY_WITHIN_S, Server, SetupFailed  # noqa: E402

REQUIREMENTS = HERE / "requirements.txt"
DOCUMENT = HERE.parent.parent / "src" / "api" / "openapi.json"

KEY = "a-key-for-the-tests-alone"
SECRET = "a key for the tests alone, of more than 32 bytes"
# Beyond the time it is given: what it has begun it ends, and it shrinks what failed.
RUN_MARGIN_S = 120

CHECKS = [
    "not_a_server_error", "status_code_conformance", "content_type_conformance", "response_headers_conformance",
    "response_schema_conformance", "negative_data_rejection", "positive_data_acceptance", "unsupported_method",
    "allow_header_conformance", "ignored_auth",
]

# A room with history and one without; a small history, so that it is full soon.
CONFIGURATION = """
[[listener]]
address = "127.0.0.1:{port}"

[server]
workers = 2
drain = "1s"

[admin]
address = "127.0.0.1:{admin_port}"
keys = ["{key}"]

[auth]
hs256_secret = "{secret}"

[[room]]
pattern = "user:{{user}}"
join = "owner"
history = {{ size = 10, ttl = "5m" }}

[[room]]
pattern = "chat:*"
join = "authenticated"
publish = "authenticated"
history = {{ size = 50, ttl = "5m" }}

[[room]]
pattern = "*"
join = "authenticated"
"""


def main():
    options = parse_arguments()
    try:
        tools = install(options.cache, "openapi", REQUIREMENTS)
        with Node(options.vestibule) as server:
            clients = Clients(tools, server)
            try:
                verdict = judge(tools, server, clients.first_connection(), options)
            finally:
                clients.end()
        return report(verdict, server.complaints())
    except SetupFailed as failure:
        print(failure)
        print("0 passed, 1 failed, 0 skipped")
        return 1


def parse_arguments():
    cache_home = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache")
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--vestibule", default=os.environ.get("VESTIBULE_BIN"), metavar="PROGRAM",
                        help="the program to test (default: $VESTIBULE_BIN)")
    parser.add_argument("--seconds", type=int, default=40, help="how long to make requests (default: %(default)s)")
    parser.add_argument("--seed", help="the requests of a run that printed this seed")
    parser.add_argument("--cache", type=pathlib.Path, default=cache_home / "vestibule-tests",
                        metavar="FOLDER", help="where schemathesis is installed (default: %(default)s)")
    options = parser.parse_args()
    if not options.vestibule:
        parser.error("--vestibule PROGRAM or $VESTIBULE_BIN says what to test")
    return options


# --- the node and its clients ----------------------------------------------------

class Node(Server):
    """The program with a key of the API, and everything in its log."""

    def __init__(self, program):
        configuration = CONFIGURATION.replace("{key}", KEY).replace("{secret}", SECRET)
        super().__init__(program, configuration, {"RUST_LOG": "info,vestibule=trace"})

    def ask(self, path):
        request = urllib.request.Request(f"http://127.0.0.1:{self.admin_port}{path}",
                                         headers={"Authorization": f"Bearer {KEY}"})
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)

    def complaints(self):
        """What was wrong with the process itself."""
        found = []
        if self.died:
            found.append("the server died during the run")
        if self.process.returncode != 0:
            found.append(f"the server ended with {self.process.returncode}")
        found += [line for line in self.printed.splitlines() if "panicked" in line or KEY in line or SECRET in line]
        return found


class Clients:
    """Members of rooms, by WebSocket and by Server-Sent Events, that come back whenever they are closed."""

    def __init__(self, tools, server):
        self.server = server
        script = pathlib.Path(server.folder, "clients.py")
        script.write_text(CLIENTS, encoding="utf-8")
        tokens = [token(user) for user in ("ada", "ada", "bob", "gr\u00fcn")]
        self.process = subprocess.Popen([tools / "python", script, str(server.port), *tokens], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def first_connection(self):
        """The name of a connection, once all are there."""
        deadline = time.monotonic() + READY_WITHIN_S
        while True:
            connections = self.server.ask("/api/connections")["connections"]
            if len(connections) >= 4:
                return next(it["connection"] for it in connections if it["user"] == "bob")
            if time.monotonic() > deadline:
                raise SetupFailed(f"the clients did not come: {connections}")
            time.sleep(0.05)

    def end(self):
        self.process.kill()
        self.process.wait()


CLIENTS = """
import http.client, json, sys, threading, time
from websockets.sync.client import connect

port, *tokens = sys.argv[1:]

def speak(token):
    with connect(f"ws://127.0.0.1:{port}/ws?token={token}") as socket:
        user = json.loads(socket.recv())["userId"]
        for room in ("chat:lobby", f"user:{user}", "plain"):
            socket.send(json.dumps({"type": "join", "room": room}))
        for _ in socket:
            pass

def listen(token):
    stream = http.client.HTTPConnection("127.0.0.1", int(port))
    stream.request("GET", f"/events?room=chat:lobby&room=plain&token={token}")
    answer = stream.getresponse()
    while answer.read1(65536):
        pass

def again(client, token):
    while True:
        try:
            client(token)
        except Exception:
            pass
        time.sleep(0.2)

for index, token in enumerate(tokens):
    threading.Thread(target=again, args=(listen if index == 0 else speak, token)).start()
"""


def token(user):
    def encode(value):
        return base64.urlsafe_b64encode(value).rstrip(b"=")
    claims = {"sub": user, "exp": int(time.time()) + 3600}
    signed = encode(b'{"alg":"HS256","typ":"JWT"}') + b"." + encode(json.dumps(claims).encode())
    return (signed + b"." + encode(hmac.digest(SECRET.encode(), signed, "sha256"))).decode()


# --- the run ---------------------------------------------------------------------

def judge(tools, server, connection, options):
    """Operations that passed, those that failed, and whether schemathesis is content."""
    text = DOCUMENT.read_text(encoding="utf-8")
    if server.ask("/api/openapi.json") != json.loads(text):
        raise SetupFailed("the document that the node serves is another")
    # The example of a connection becomes one that is there, so that more than 404 is seen.
    document = pathlib.Path(server.folder, "openapi.json")
    document.write_text(text.replace("00000000000d00000001", connection), encoding="utf-8")
    result = pathlib.Path(server.folder, "result.xml")
    command = [tools / "schemathesis", "run", document, "--url", f"http://127.0.0.1:{server.admin_port}",
               "--header", f"Authorization: Bearer {KEY}", "--checks", ",".join(CHECKS),
               # Lengths are bytes here and characters there: in ASCII they are the same.
               "--generation-codec", "ascii", "--generation-database", "none", "--no-color",
               "--max-time", str(options.seconds), "--request-timeout", "10", "--workers", "1",
               "--report", "junit", "--report-junit-path", result]
    if options.seed:
        command += ["--seed", options.seed]
    try:
        done = subprocess.run(list(map(str, command)), cwd=server.folder, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              timeout=options.seconds + RUN_MARGIN_S, check=False)
    except subprocess.TimeoutExpired as failure:
        raise SetupFailed(f"schemathesis did not end: {failure}") from failure
    print(done.stdout)
    cases = re.search(r'<testsuites [^>]*', result.read_text(encoding="utf-8")).group() if result.exists() else ""
    count = {name: int(number) for name, number in re.findall(r'(tests|failures|errors)="(\d+)"', cases)}
    failed = count.get("failures", 0) + count.get("errors", 0)
    return count.get("tests", 0) - failed, failed, done.returncode == 0


def report(verdict, complaints):
    passed, failed, content = verdict
    for complaint in complaints:
        print(complaint)
    # A run without a single operation has shown nothing.
    if complaints or not passed or (not content and not failed):
        failed += 1
    print(f"{passed} passed, {failed} failed, 0 skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
