#!/usr/bin/env python3
"""Holds what the application is sent against PyPI's standardwebhooks.

A stream of Server-Sent Events comes and goes, whose user the application
names; every call that this makes is kept as it came. The library verifies each
of them, and refuses each where a byte of the body, the name, the time, the
signature or the key is another one. This is done twice: with the key in the
configuration, and with the key in a file of its own.

Starts the real program, and ends it by its own process id. The library is
installed once, outside the tree, in ${XDG_CACHE_HOME:-~/.cache}/vestibule-tests.

The last line is "N passed, N failed, N skipped", counting checks.
Exit code: 0 all passed, 1 not.
"""

import argparse
import http.client
import http.server
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.dont_write_bytecode = True
sys.path.insert(0, str(HERE.parent))
from packages import install  # noqa: E402
from program import Server, SetupFailed  # noqa: E402

REQUIREMENTS = HERE / "requirements.txt"
KEY = "whsec_dmVzdGlidWxlLWhvb2tzLWluLXRlc3RzLWFsb25l"
CALLED_WITHIN_S = 15
JUDGED_WITHIN_S = 60
TOKEN = "any.text~at-all"

CONFIGURATION = """
[[listener]]
address = "127.0.0.1:{port}"

[server]
workers = 2
drain = "1s"

[admin]
address = "127.0.0.1:{admin_port}"

[auth]
mode = "hook"

[[room]]
pattern = "asked:*"
join = "hook"

[hooks]
url = "http://127.0.0.1:{application}/hooks"
{secret}
"""

VERDICTS = {
    "connect": {"allow": True, "userId": "ad\u00e9", "state": {"plan": "gold"}},
    "join": {"allow": True},
}


class Application:
    """Keeps what it is sent, byte for byte, and lets everybody in."""

    def __init__(self):
        application = self
        self.calls = []
        self.changed = threading.Condition()

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"])).decode()
                with application.changed:
                    application.calls.append({"headers": dict(self.headers), "body": body})
                    application.changed.notify_all()
                answer = json.dumps(VERDICTS.get(json.loads(body)["type"], {})).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def wait_for(self, count):
        """The first so many calls; those that are there, if there are not as many in time."""
        with self.changed:
            self.changed.wait_for(lambda: len(self.calls) >= count, CALLED_WITHIN_S)
            return list(self.calls)


JUDGE = r"""
import json, sys
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

key, calls = json.load(sys.stdin)
failed, passed = [], 0

def verifies(call, key=key, **changed):
    headers = {**{name.lower(): value for name, value in call["headers"].items()}, **changed.pop("headers", {})}
    try:
        told = Webhook(key).verify(changed.get("body", call["body"]), headers)
        return told == json.loads(call["body"])
    except WebhookVerificationError:
        return False

def check(what, is_so):
    global passed
    if is_so:
        passed += 1
    else:
        failed.append(what)

for call in calls:
    headers, body = {name.lower(): value for name, value in call["headers"].items()}, call["body"]
    name, at, signature = (headers[f"webhook-{part}"] for part in ("id", "timestamp", "signature"))
    check(f"{name}: verified", verifies(call))
    for place in range(0, len(body), 7):
        changed = body[:place] + chr(ord(body[place]) ^ 1) + body[place + 1:]
        check(f"{name}: refused with another character {place}", not verifies(call, body=changed))
    check(f"{name}: refused under another name", not verifies(call, headers={"webhook-id": name + "0"}))
    check(f"{name}: refused at another time", not verifies(call, headers={"webhook-timestamp": str(int(at) - 1)}))
    other = "v1," + ("B" if signature[3] == "A" else "A") + signature[4:]
    check(f"{name}: refused with another signature", not verifies(call, headers={"webhook-signature": other}))
    check(f"{name}: refused by another key", not verifies(call, key="whsec_" + "A" * 32))
json.dump([passed, failed], sys.stdout)
"""


def main():
    options = parse_arguments()
    try:
        tools = install(options.cache, "webhooks", REQUIREMENTS)
        with tempfile.NamedTemporaryFile("w", prefix="vestibule-hooks-", suffix=".key") as file:
            print(KEY, file=file, flush=True)
            calls = gather(options.vestibule, f'secret = "{KEY}"')
            calls += gather(options.vestibule, f"secret_file = {json.dumps(file.name)}")
        passed, failed = judge(tools, calls)
    except SetupFailed as failure:
        passed, failed = 0, [str(failure)]
    for check in failed:
        print(f"not so: {check}")
    print(f"{passed} passed, {len(failed)} failed, 0 skipped")
    return 1 if failed else 0


def parse_arguments():
    cache_home = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache")
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--vestibule", default=os.environ.get("VESTIBULE_BIN"), metavar="PROGRAM",
                        help="the program to test (default: $VESTIBULE_BIN)")
    parser.add_argument("--cache", type=pathlib.Path, default=cache_home / "vestibule-tests",
                        metavar="FOLDER", help="where the library is installed (default: %(default)s)")
    options = parser.parse_args()
    if not options.vestibule:
        parser.error("--vestibule PROGRAM or $VESTIBULE_BIN says what to test")
    return options


def gather(program, secret):
    """What one stream makes the program send, whose configuration has this line for the key."""
    application = Application()
    configuration = CONFIGURATION.replace("{application}", str(application.port)).replace("{secret}", secret)
    with Server(program, configuration, {"RUST_LOG": "info,vestibule=trace"}) as server:
        stream = http.client.HTTPConnection("127.0.0.1", server.port, timeout=CALLED_WITHIN_S)
        stream.request("GET", "/events?room=asked:1", headers={"Authorization": f"Bearer {TOKEN}"})
        answer = stream.getresponse()
        if answer.status != 200:
            raise SetupFailed(f"the stream was answered {answer.status}: {answer.read()!r}")
        began, until = b"", time.monotonic() + CALLED_WITHIN_S
        while b'"userId":"ad\xc3\xa9"' not in began:
            began += answer.read1(65536)
            if time.monotonic() > until:
                raise SetupFailed(f"the stream did not say who it is: {began!r}")
        answer.close()
        stream.close()
        calls = application.wait_for(3)
    application.server.shutdown()
    told = [json.loads(call["body"])["type"] for call in calls]
    if told != ["connect", "join", "disconnect"]:
        raise SetupFailed(f"the application was told of {told}\n{server.printed}")
    if TOKEN in server.printed or KEY.removeprefix("whsec_") in server.printed:
        raise SetupFailed("the log shows the token or the key")
    if json.loads(calls[0]["body"])["data"]["token"] != TOKEN:
        raise SetupFailed("the application was not told the token that it is to judge")
    return calls


def judge(tools, calls):
    done = subprocess.run([tools / "python", "-c", JUDGE], input=json.dumps([KEY, calls]), stdout=subprocess.PIPE,
                          text=True, timeout=JUDGED_WITHIN_S, check=False)
    if done.returncode != 0:
        raise SetupFailed(f"the library's judge ended with {done.returncode}")
    return json.loads(done.stdout)


if __name__ == "__main__":
    sys.exit(main())
