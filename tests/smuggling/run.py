#!/usr/bin/env python3
"""Tries to smuggle: requests of every kind that readers have disagreed about, through a running node to backends that say
what they saw.

The backends are Node.js, Node.js with its parser made lenient, and h11. What each request means is known from how it was
made (grammar.py): a backend has to see that, whole and once, or nothing at all, and nothing else may ever arrive there.

Starts the real program and the backends, and ends them by their own process ids. h11 is installed once, outside the
tree, in ${XDG_CACHE_HOME:-~/.cache}/vestibule-tests. The seed is printed; with it and the number of a connection that
is printed with each failure, what was sent is made again:

    run.py --seed SEED --only NUMBER

The last line is "N passed, N failed, N skipped", counting requests.
Exit code: 0 all passed, 1 not.
"""

import argparse
import collections
import json
import os
import pathlib
import queue
import random
import socket
import subprocess
import sys
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.dont_write_bytecode = True
sys.path[:0] = [str(HERE), str(HERE.parent)]
import grammar  # noqa: E402
from packages import install  # noqa: E402
from program import READY_WITHIN_S, Server, SetupFailed  # noqa: E402

REQUIREMENTS = HERE / "requirements.txt"
KINDS = ("node", "lenient", "h11")
CLIENTS = 6
# Nothing here takes a second; a server that asks for more time is broken.
ANSWER_WITHIN_S = 20
FAILURES_SHOWN = 10
# 408: to who went away within a head.
REFUSALS = (400, 405, 408, 414, 417, 431, 501, 505)

CONFIGURATION = """
[[listener]]
address = "127.0.0.1:{port}"

[server]
workers = 2
drain = "1s"

[admin]
address = "127.0.0.1:{admin_port}"

[auth]
mode = "none"
"""

ROUTED = """
[[backend]]
name = "%(kind)s"
servers = ["127.0.0.1:%(port)d"]

[[route]]
host = "%(kind)s.test"
backend = "%(kind)s"
"""


def main():
    options = parse_arguments()
    print(f"seed {options.seed}", flush=True)
    backends = {}
    try:
        tools = install(options.cache, "smuggling", REQUIREMENTS)
        started = [("node", ["node", HERE / "backend.mjs"]),
                   ("lenient", ["node", "--no-warnings", "--insecure-http-parser", HERE / "backend.mjs"]),
                   ("h11", [tools / "python", HERE / "backend.py"])]
        for kind, command in started:
            backends[kind] = Backend(kind, command)
        routed = "".join(ROUTED % {"kind": kind, "port": backend.port} for kind, backend in backends.items())
        with Server(options.vestibule, CONFIGURATION + routed) as server:
            trial = Trial(server, backends, options)
            trial.run()
        trial.fail_if(server.died or server.process.returncode != 0, "the server did not end well")
        trial.fail_if("panicked" in server.printed, "the server panicked")
    except SetupFailed as failure:
        print(failure)
        print("0 passed, 1 failed, 0 skipped")
        return 1
    finally:
        for backend in backends.values():
            backend.end()
    return trial.report()


def parse_arguments():
    cache_home = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache")
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--vestibule", default=os.environ.get("VESTIBULE_BIN"), metavar="PROGRAM",
                        help="the program to test (default: $VESTIBULE_BIN)")
    parser.add_argument("--requests", type=int, default=10000, help="how many, at least (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32),
                        help="the requests of a run that printed this seed")
    parser.add_argument("--only", type=int, metavar="NUMBER", help="one connection, and what is sent on it")
    parser.add_argument("--cache", type=pathlib.Path, default=cache_home / "vestibule-tests",
                        metavar="FOLDER", help="where h11 is installed (default: %(default)s)")
    options = parser.parse_args()
    if not options.vestibule:
        parser.error("--vestibule PROGRAM or $VESTIBULE_BIN says what to test")
    return options


class Backend:
    """A backend that says what it saw; its first line is its port."""

    def __init__(self, kind, command):
        self.kind = kind
        try:
            self.process = subprocess.Popen(list(map(str, command)), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        except OSError as failure:
            raise SetupFailed(f"{command[0]}: {failure}") from failure
        self.records = queue.Queue()
        threading.Thread(target=self.read, daemon=True).start()
        try:
            self.port = self.records.get(timeout=READY_WITHIN_S)["port"]
        except queue.Empty:
            self.end()
            raise SetupFailed(f"the backend {kind} does not say its port") from None

    def read(self):
        for line in self.process.stdout:
            self.records.put(json.loads(line))

    def all_so_far(self):
        """What was seen up to now: a request of our own, straight to the backend, ends it."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=ANSWER_WITHIN_S) as straight:
            straight.sendall(b"GET /end HTTP/1.1\r\nHost: a\r\nX-Case: end\r\nConnection: close\r\n\r\n")
            while straight.recv(4096):
                pass
        seen = []
        while True:
            record = self.records.get(timeout=ANSWER_WITHIN_S)
            if record.get("target") == "/end":
                return seen
            seen.append(record)

    def end(self):
        self.process.kill()
        self.process.wait()


class Trial:
    """The requests, what was answered and what was seen."""

    def __init__(self, server, backends, options):
        self.server, self.backends, self.options = server, backends, options
        self.numbers = iter([options.only] if options.only is not None else range(1 << 62))
        self.lock = threading.Lock()
        self.sent = 0
        # What has to be seen, what may be, and of what the beginning may be.
        self.meant, self.allowed, self.begun = {}, {}, set()
        self.failures = []
        self.done = collections.Counter()

    def run(self):
        clients = [threading.Thread(target=self.client) for _ in range(CLIENTS)]
        for client in clients:
            client.start()
        for client in clients:
            client.join()
        for kind, backend in self.backends.items():
            for record in backend.all_so_far():
                self.judge(kind, record)
        for case, meant in self.meant.items():
            self.fail_if(True, f"{case}: never arrived: {meant}")

    def client(self):
        while True:
            with self.lock:
                number = next(self.numbers, None)
                if number is None or self.sent >= self.options.requests:
                    return
                kind = KINDS[number % len(KINDS)]
                made = grammar.requests(self.options.seed, number, f"{kind}.test")
                self.sent += len(made)
                self.expect(kind, made)
            if self.options.only is not None:
                for request in made:
                    print(request.done, request.sent(), sep="\n")
            try:
                self.talk(number, made)
            except (OSError, ValueError, Malformed) as failure:
                self.fail_if(True, f"{number}: {[request.done for request in made]}: {failure!r}")

    def expect(self, kind, made):
        """Whatever comes behind a request that is refused, or is the last by its own word, never arrives."""
        seen = self.meant
        for request in made:
            self.done.update(request.done)
            if request.begun:
                self.begun.add(request.case)
            if not request.refused:
                seen[request.case] = (kind, request.meant())
            elif not request.stays:
                return
            else:
                seen = self.allowed
            if request.closes:
                return

    def talk(self, number, made):
        """Sends all of it, in pieces, and hears every answer that is due, and no other."""
        rng = random.Random(f"{self.options.seed} {number} pieces")
        bytes_ = b"".join(request.sent() for request in made[:1 + next(
            (index for index, request in enumerate(made) if request.cut), len(made))])
        with socket.create_connection(("127.0.0.1", self.server.port), timeout=ANSWER_WITHIN_S) as client:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            heard = threading.Event()
            sender = threading.Thread(target=send, args=(client, pieces(rng, bytes_), made, heard))
            sender.start()
            try:
                self.hear(Answers(client), made, heard)
            finally:
                heard.set()
                sender.join()

    def hear(self, answers, made, heard):
        """`heard` is set when all is answered that was sent before a client goes away, and would be lost with it."""
        may_end = False
        for request in made:
            if request.cut:
                heard.set()
            if request.cut and request.begun:
                # Whether it is still answered is nobody's concern.
                return
            answer = answers.next(request.method == "HEAD" and (request.stays or not request.refused))
            if answer is None and (may_end or request.cut):
                return
            good = answer in REFUSALS if request.refused else answer == 200
            self.fail_if(not good, f"{request.case}: {request.done}: answered with {answer}")
            may_end = may_end or request.stays
            if request.closes or request.refused and not request.stays:
                behind = answers.next(False)
                self.fail_if(behind is not None, f"{request.case}: {request.done}: {behind} behind the last answer")
                return
        answers.end()

    def judge(self, kind, record):
        if "error" in record:
            # A body that was begun ends with its connection.
            ended = "INVALID_EOF" in record["error"] or "peer unexpectedly closed" in record["error"]
            ended = ended or record["error"] in ("ECONNRESET", "EPIPE")
            return self.fail_if(not ended, f"{kind} was sent what is no request: {record}")
        fields = {}
        for name, value in zip(record["fields"][::2], record["fields"][1::2]):
            fields.setdefault(name.lower(), []).append(value)
        case = fields.get("x-case", [None])[0]
        if not record["whole"]:
            return self.fail_if(case not in self.begun, f"{kind} saw the beginning of {record}")
        request_id = fields.pop("x-request-id", [])
        expected = self.meant.pop(case, None) or self.allowed.pop(case, None)
        seen = (kind, (record["method"], record["target"], fields, record["body"]))
        same = expected == seen and len(request_id) == 1 and not record["trailers"]
        return self.fail_if(not same, f"{case}:\n  saw   {seen}\n  meant {expected}")

    def fail_if(self, failed, why):
        if failed:
            with self.lock:
                self.failures.append(why)

    def report(self):
        for failure in self.failures[:FAILURES_SHOWN]:
            print(failure)
        if len(self.failures) > FAILURES_SHOWN:
            print(f"and {len(self.failures) - FAILURES_SHOWN} more")
        print(", ".join(f"{name} {count}" for name, count in sorted(self.done.items())))
        failed = len(self.failures)
        print(f"{max(self.sent - failed, 0)} passed, {failed} failed, 0 skipped")
        return 1 if failed else 0


def pieces(rng, bytes_):
    """The bytes in one piece, in two or three, and now and then one by one."""
    ways = rng.random()
    if ways < 0.5:
        return [bytes_]
    if ways < 0.55 and len(bytes_) < 1500:
        return [bytes_[at:at + 1] for at in range(len(bytes_))]
    cuts = sorted(rng.randrange(len(bytes_) + 1) for _ in range(rng.choice([1, 2])))
    return [bytes_[start:end] for start, end in zip([0, *cuts], [*cuts, len(bytes_)])]


def send(client, pieces_, made, heard):
    try:
        for piece in pieces_:
            client.sendall(piece)
        if any(request.cut for request in made):
            heard.wait()
            client.shutdown(socket.SHUT_WR)
    except OSError:
        # Refused, and closed meanwhile.
        pass


class Malformed(Exception):
    """What came is no answer."""


class Answers:
    """Answers, one after the other."""

    def __init__(self, client):
        self.client, self.buffer = client, b""

    def next(self, to_head):
        """The status of the next final answer, its body taken off; None where the connection ends."""
        while True:
            head = self.until(b"\r\n\r\n")
            if head is None:
                return None
            status_line, *lines = head[:-4].decode("latin-1").split("\r\n")
            version, status = status_line.split(" ")[:2]
            if version != "HTTP/1.1":
                raise Malformed(status_line)
            fields = dict(line.lower().split(": ", 1) for line in lines)
            if not status.startswith("1"):
                break
        if to_head or status in ("204", "304"):
            return int(status)
        if "transfer-encoding" in fields:
            while int(self.until(b"\r\n"), 16) > 0:
                self.until(b"\r\n")
            self.until(b"\r\n")
        elif "content-length" in fields:
            self.take(int(fields["content-length"]))
        else:
            raise Malformed(head)
        return int(status)

    def until(self, end):
        while end not in self.buffer:
            if not self.more():
                return None
        at = self.buffer.index(end) + len(end)
        return self.take(at)

    def take(self, count):
        while len(self.buffer) < count:
            if not self.more():
                raise Malformed("half an answer")
        taken, self.buffer = self.buffer[:count], self.buffer[count:]
        return taken

    def more(self):
        try:
            received = self.client.recv(65536)
        except ConnectionResetError:
            received = b""
        self.buffer += received
        return bool(received)

    def end(self):
        """Nothing is due any more."""
        if self.buffer:
            raise Malformed(f"behind the last answer: {self.buffer[:200]}")


if __name__ == "__main__":
    sys.exit(main())
