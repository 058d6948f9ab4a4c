"""Requests of every kind that readers have disagreed about, and what each of them means.

A request is made whole, and then made odd: in ways that mean something, of which is written down what a backend is to
see, and in ways that mean nothing, or several things, after which no backend is to see it. This judgement is made where
a request is made, by what was done to it, and never by reading it.
"""

import dataclasses
import random
import re

SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: %s\r\nX-Case: smuggled\r\n\r\n"
METHODS_WITH_BODY = ["POST", "PUT", "PATCH", "DELETE", "PROPFIND"]
METHODS = ["GET", "GET", "GET", "HEAD", "OPTIONS", *METHODS_WITH_BODY]


@dataclasses.dataclass
class Request:
    """What is sent, in pieces, and what it means."""

    case: str
    host: str
    method: str
    path: bytes = b"/"
    path_meant: bytes = b"/"
    query: bytes = None
    version: bytes = b"HTTP/1.1"
    fields: list = dataclasses.field(default_factory=list)
    # What is sent of its body, and what that is.
    framing: str = "none"
    body: bytes = b""
    body_sent: bytes = b""
    # Names of fields that go no further, though nothing else is wrong with them.
    dropped: set = dataclasses.field(default_factory=set)
    upgrade: bool = False
    closes: bool = False
    # Nothing is to be seen of it; of a body that was begun, the beginning may.
    refused: bool = False
    begun: bool = False
    # Refused for what it asks: where it ends is clear, and the connection may go on.
    stays: bool = False
    # What was done to it, for whoever has to find out.
    done: list = dataclasses.field(default_factory=list)
    # Whole lines in place of, or besides, those that the pieces make.
    request_line: bytes = None
    host_lines: list = None
    raw_lines: list = dataclasses.field(default_factory=list)
    line_end: bytes = b"\r\n"
    # The client goes away behind what it has sent.
    cut: bool = False

    def sent(self):
        """The bytes."""
        target = self.path if self.query is None else self.path + b"?" + self.query
        usual = b"%s %s %s" % (self.method.encode(), target, self.version)
        lines = [usual if self.request_line is None else self.request_line]
        lines += [b"Host: " + self.host.encode()] if self.host_lines is None else self.host_lines
        lines += [name.encode() + b":" + value for name, value in self.fields]
        lines += self.raw_lines
        return b"".join(line + self.line_end for line in lines) + self.line_end + self.body_sent

    def meant(self):
        """What a backend is to see: method, target, values of each field by its name in small letters, body."""
        target = self.path_meant if self.query is None else self.path_meant + b"?" + self.query
        fields = {"host": [self.host]}
        for name, value in self.fields:
            name, value = name.lower(), value.strip(b" \t").decode("latin-1")
            if name not in self.dropped and name not in HOP and name not in OURS:
                fields.setdefault(name, []).append(value)
        fields["x-forwarded-for"] = ["127.0.0.1"]
        fields["x-forwarded-proto"] = ["http"]
        fields["x-forwarded-host"] = [self.host]
        fields.setdefault("via", []).append(self.version.decode()[5:] + " vestibule")
        if self.framing == "length":
            fields["content-length"] = [str(len(self.body))]
        elif self.framing == "chunked":
            fields["transfer-encoding"] = ["chunked"]
        if self.upgrade:
            fields["connection"], fields["upgrade"] = ["Upgrade"], ["websocket"]
        has_body = self.framing == "chunked" or self.framing == "length" and self.body
        if has_body and self.version == b"HTTP/1.1" and any(name.lower() == "expect" for name, _ in self.fields):
            fields["expect"] = ["100-continue"]
        return self.method, target.decode("latin-1"), fields, self.body.decode("latin-1")


HOP = {"connection", "content-length", "http2-settings", "keep-alive", "proxy-authenticate", "proxy-authorization",
       "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"}
# Said anew, or not to be believed.
OURS = {"expect", "forwarded", "proxy", "x-request-id", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host",
        "x-forwarded-port", "x-forwarded-anything", "x-real-ip"}


def requests(seed, number, host):
    """The requests of one connection, in order; behind one that is refused nothing is to be seen."""
    rng = random.Random(f"{seed} {number}")
    count = rng.choice([1, 2, 2, 3, 3, 4])
    subject = rng.randrange(count)
    made = []
    for index in range(count):
        request = plain(rng, f"{number}.{index}", host)
        for _ in range(rng.choice([0, 1, 1, 2]) if index != subject else rng.choice([1, 2, 2, 3])):
            odd(rng, request)
        if index == subject and rng.random() < 0.6:
            wrong(rng, request)
        made.append(request)
    return made


def plain(rng, case, host):
    request = Request(case=case, host=host, method=rng.choice(METHODS))
    request.path = request.path_meant = rng.choice([b"/", b"/a", b"/a/b.html", b"/shop/items/7/"])
    request.fields = [("X-Case", b" " + case.encode()), ("Accept", b" */*")]
    if request.method in METHODS_WITH_BODY or rng.random() < 0.1:
        give_body(rng, request, rng.choice(["length", "chunked"]))
    return request


def give_body(rng, request, framing):
    """A body, half of them such as would be a request if somebody ended the one before it too early."""
    smuggled = SMUGGLED % request.host.encode()
    request.body = rng.choice([b"", b"x", b"hello=world", smuggled, smuggled, b"0\r\n\r\n" + smuggled,
                               bytes(rng.randrange(256) for _ in range(rng.randrange(2000)))])
    request.framing = framing
    drop_framing(request)
    if framing == "length":
        request.fields.append(("Content-Length", b" %d" % len(request.body)))
        request.body_sent = request.body
    else:
        request.fields.append(("Transfer-Encoding", b" chunked"))
        request.body_sent = chunks(rng, request.body) + b"0\r\n\r\n"


def drop_framing(request):
    names = ("content-length", "transfer-encoding")
    request.fields = [field for field in request.fields if field[0].lower() not in names]


def chunks(rng, body, size=lambda rng, length: b"%x" % length):
    made, at = b"", 0
    while at < len(body):
        length = rng.choice([1, 2, 16, 500, 4000])
        piece = body[at:at + length]
        made += size(rng, len(piece)) + b"\r\n" + piece + b"\r\n"
        at += length
    return made


# --- odd, and clear all the same -------------------------------------------------

def odd(rng, request):
    change = rng.choice(ODD)
    change(rng, request)
    request.done.append(change.__name__)


SEGMENTS = [b"a", b"b.c", b"..", b".", b"", b"", b"%41", b"%7e", b"%2e", b"%2E%2e", b"b%2fc", b"a;v=1", b"...", b"%20",
            b"%c3%A4", b"%252e%252e", b"!$&'()*+,=:@", b"..a", b"%3f", b"%23", b";x"]


def odd_path(rng, request):
    request.path = b"/" + b"/".join(rng.choice(SEGMENTS) for _ in range(rng.randrange(1, 7)))
    request.path_meant = normal(request.path)


def normal(path):
    unreserved = re.compile(rb"[A-Za-z0-9._~-]")

    def spelt(match):
        byte = bytes([int(match[1], 16)])
        return byte if unreserved.match(byte) else match[0].upper()

    segments = re.sub(rb"/+", b"/", re.sub(rb"%([0-9A-Fa-f]{2})", spelt, path)).split(b"/")[1:]
    kept = []
    for segment in segments:
        if segment == b"..":
            del kept[-1:]
        elif segment not in (b".", b""):
            kept.append(segment)
    below = segments[-1] in (b"", b".", b"..")
    return b"/" + b"/".join(kept) + (b"/" if below and kept else b"")


def odd_query(rng, request):
    request.query = rng.choice([b"", b"a=b", b"?", b"a=/../b", b"a=%00%0d%0a", b"%zz", b"a=b?c=d&&", b"x=http://b/"])


def odd_host(rng, request):
    if ":" in request.host:
        return
    request.host = rng.choice([request.host + ":8080", request.host.upper(), request.host + ":"])


def odd_value(rng, request):
    request.fields.append(("X-Odd", rng.choice([
        b"", b" ", b"\t a \t", b"a\tb", b" a  b", b" \xe9\xff\x80", b" :", b" ;,\"'", b"a: b", b" " + b"x" * 3000,
        b" GET /smuggled HTTP/1.1", b" %0d%0aX-Case: smuggled", b" \\r\\nX-Case: smuggled"])))


def odd_name(rng, request):
    request.fields.append((rng.choice(["x-ODD", "A", "X-!#$%&'*+.^`|~", "x--", "-", "X-Case-2", "Content-Lengths",
                                       "XTransfer-Encoding"]), b" 1"))


def repeated(rng, request):
    name = rng.choice(["X-Odd", "Accept", "Cookie", "Content-Type", "Authorization", "Origin"])
    request.fields += [(name, b" 1"), ("X-Between", b" 2"), (name.upper(), b" 3")]


def of_one_hop(rng, request):
    request.fields += rng.sample([("Keep-Alive", b" timeout=5"), ("Proxy-Connection", b" keep-alive"), ("TE", b" trailers"),
                                  ("Trailer", b" X-T"), ("Proxy-Authorization", b" Basic eDp5"), ("Proxy", b" http://a/"),
                                  ("HTTP2-Settings", b" AAMAAABkAAQAAP__"), ("Proxy-Authenticate", b" Basic")], 3)


def nominated(rng, request):
    name = rng.choice(["X-Hop", "x-hop-2", "Accept", "X-Odd", "Content-Type"])
    list_ = rng.choice([b" %s", b"%s", b" ,%s,", b" keep-alive,\t%s ", b" TE, %s"]) % name.encode()
    request.fields += [("Connection", list_), (name, b" 1")]
    request.dropped.add(name.lower())


def spoofed(rng, request):
    claims = [("X-Forwarded-For", b" 10.0.0.1"), ("x-forwarded-for", b" 127.0.0.1, 127.0.0.1"), ("X-Real-IP", b" ::1"),
              ("X-Forwarded-Proto", b" https"), ("X-Forwarded-Host", b" admin"), ("Forwarded", b" for=127.0.0.1"),
              ("X-Forwarded-Port", b" 443"), ("X-Forwarded-Anything", b" 1"), ("X-Request-Id", b" theirs")]
    request.fields += rng.sample(claims, 3)


def via(rng, request):
    request.fields.append(("Via", b" 1.1 first"))


def expecting(rng, request):
    request.fields.append(("Expect", rng.choice([b" 100-continue", b"100-Continue", b" 100-continue, 100-CONTINUE"])))


def other_upgrade(rng, request):
    protocol = rng.choice([b" h2c", b" TLS/1.0", b" websocketx, h2c", b" web socket"])
    request.fields += [("Upgrade", protocol), ("Connection", rng.choice([b" Upgrade", b" Upgrade, HTTP2-Settings"])),
                       ("HTTP2-Settings", b" AAMAAABkAAQAAP__")]


def websocket(rng, request):
    if asks_for_websocket(request) or request.version == b"HTTP/1.0":
        return
    request.method, request.framing, request.body, request.body_sent = "GET", "none", b"", b""
    drop_framing(request)
    request.upgrade = True
    request.fields += [("Upgrade", b" WebSocket"), ("Connection", rng.choice([b" keep-alive, Upgrade", b"upgrade"])),
                       ("Sec-WebSocket-Key", b" dGhlIHNhbXBsZSBub25jZQ=="), ("Sec-WebSocket-Version", b" 13")]


def unasked_websocket(rng, request):
    """An upgrade that is not in due form is no upgrade, and goes on without."""
    if request.framing != "none" or asks_for_websocket(request):
        return
    missing = rng.choice(["key", "connection", "version"])
    request.fields += [("Upgrade", b" websocket")]
    request.fields += [("Connection", b" Upgrade")] if missing != "connection" else []
    request.fields += [("Sec-WebSocket-Key", b" dGhlIHNhbXBsZSBub25jZQ==")] if missing != "key" else []
    request.fields += [("Sec-WebSocket-Version", b" 8")] if missing == "version" else []


def closing(rng, request):
    request.fields.append(("Connection", rng.choice([b" close", b" keep-alive, Close"])))
    request.closes = True


def old(rng, request):
    if request.framing == "chunked" or request.upgrade:
        return
    request.version, request.closes = b"HTTP/1.0", True


def asks_for_websocket(request):
    return request.upgrade or any(name == "Upgrade" and value.lower() == b" websocket" for name, value in request.fields)


def odd_length(rng, request):
    if asks_for_websocket(request):
        return
    give_body(rng, request, "length")
    drop_framing(request)
    spelt = rng.choice([b"000%d", b"\t%d\t ", b"%d", b"  0%d"]) % len(request.body)
    request.fields.append((rng.choice(["Content-Length", "CONTENT-LENGTH", "content-length"]), spelt))


def odd_chunks(rng, request):
    if request.version == b"HTTP/1.0" or asks_for_websocket(request):
        return
    give_body(rng, request, "chunked")
    drop_framing(request)
    request.fields.append((rng.choice(["Transfer-Encoding", "transfer-ENCODING"]),
                           rng.choice([b" chunked", b"Chunked", b"\tCHUNKED \t"])))

    def size(rng, length):
        digits = rng.choice([b"%x", b"%X", b"00%x", b"%016X"]) % length
        return digits + rng.choice([b"", b"", b";", b";a=b", b";a=\"b;c\"; d", b";\t5"])

    last = rng.choice([b"0", b"000", b"0;a", b"0" * 16])
    trailers = rng.choice([b"", b"", b"X-Case: smuggled\r\n", b"X-T: 1\r\nContent-Length: 9\r\n", b"a:\r\n"])
    request.body_sent = chunks(rng, request.body, size) + last + b"\r\n" + trailers + b"\r\n"


ODD = [odd_path, odd_path, odd_query, odd_host, odd_value, odd_name, repeated, of_one_hop, nominated, spoofed, via, expecting,
       other_upgrade, websocket, unasked_websocket, closing, old, odd_length, odd_chunks, odd_chunks]


# --- wrong -----------------------------------------------------------------------

def wrong(rng, request):
    change = rng.choice(WRONG)
    change(rng, request)
    request.refused = True
    request.done.append(f"wrong: {change.__name__}")


def bad_request_line(rng, request):
    method, target, host = request.method.encode(), request.path, request.host.encode()
    request.request_line = rng.choice([
        b"", b" ", b"\r\n%s / HTTP/1.1" % method, b"%s  %s HTTP/1.1" % (method, target), b"%s %s" % (method, target),
        b"%s %s  HTTP/1.1" % (method, target), b"%s %s HTTP/1.1 " % (method, target), b" %s / HTTP/1.1" % method,
        b"%s\t%s\tHTTP/1.1" % (method, target), b"%s %s HTTP/1.2" % (method, target), b"%s / HTTP/2.0" % method,
        b"%s / HTTP/1.10" % method, b"%s / http/1.1" % method, b"%s / HTTP/01.1" % method, b"%s / HTTP/1.1\r" % method,
        b"%s / HTTP/1.1 HTTP/1.1" % method, b"%s / HTTP/1.1\rX: y" % method, b"%s / HTTP/ 1.1" % method,
        b"%s\0 / HTTP/1.1" % method, b"(%s) / HTTP/1.1" % method, b"%s: / HTTP/1.1" % method, b"CONNECT / HTTP/1.1",
        b"CONNECT %s:80 HTTP/1.1" % host, b"TRACE / HTTP/1.1", b"trace / HTTP/1.1", b"connect / HTTP/1.1",
        b"PRI * HTTP/2.0", b"%s / HTTP/1.1, HTTP/1.1" % method])


def bad_target(rng, request):
    host = request.host.encode()
    target = rng.choice([
        b"*", b"a", b"http://%s/" % host, b"http://other/smuggled", b"https://%s/" % host, b"%s:80" % host, b"/a#b", b"#",
        b"?a", b"/\xe9", b"/\x7f", b"/\x01", b"/a\0b", b"\\", b"//%s\x0b/" % host, b"/a\rb", b"/a\x0cb", b"/\xa0"])
    request.request_line = b"%s %s HTTP/1.1" % (request.method.encode(), target)


def bad_path(rng, request):
    segment = rng.choice([b"%", b"%4", b"%zz", b"%%34", b"%00", b"a%00b", b"\\", b"..\\", b"%5c", b"%5C..", b"..%2f", b"..%2Fa",
                          b"a%2f..", b"%2e%2e%2f", b".%2fa", b"..;", b"..;a=b", b".;", b"..%3b", b"a%2f..;x", b"..%3fa",
                          b"..%23"])
    request.path = rng.choice([b"/%s", b"/%s/a", b"/a/%s/b", b"/a/%s", b"//%s/../b"]) % segment
    request.stays = True


def bad_line(rng, request):
    smuggled = b"Transfer-Encoding: chunked"
    line = rng.choice([
        b": b", b":", b"X", b"X b", b"X : b", b"X\t: b", b" X: b", b"\tX: b", b"X: a\r\n b", b"X: a\r\n\tb", b"X: a\rb", b"X: a\r",
        b"X: \r\r\nY: b", b"X\r: b", b"X: a\0b", b"X\0: b", b"X: \x1b", b"X: \x7f", b"X: \x0b", b"X(y): b", b"X\xe9: b", b"\"X\": b",
        b"X: a\n%s" % smuggled, b"X: a\r%s" % smuggled, b"X: a\n\r%s" % smuggled, b"X:\n %s" % smuggled, b"X: a\n", b"\n",
        b"Content_Length: 5", b"Transfer_Encoding: chunked", b"X_Case: 1", b"Content-Length : 5", b"Transfer-Encoding : chunked",
        b"Content-Length\x0b: 5", b"Transfer-Encoding\xa0: chunked", b"\x0bTransfer-Encoding: chunked", b"X:\x00chunked",
        b"Content-Length\t: 5", b"[Transfer-Encoding]: chunked", b"X: " + b"y" * 17000])
    request.raw_lines.insert(rng.randrange(len(request.raw_lines) + 1), line)
    if rng.random() < 0.3:
        request.fields, request.raw_lines = [], [line] + [b"%s:%s" % (n.encode(), v) for n, v in request.fields]


def bad_line_end(rng, request):
    request.line_end = rng.choice([b"\n", b"\r", b"\n\r", b"\r\r\n", b"\r\n\r"])
    # For some readers the head has not ended yet.
    request.cut = True


def too_many_fields(rng, request):
    request.fields += [("X-Many", b" 1")] * 100


def bad_host(rng, request):
    host = request.host.encode()
    request.host_lines = rng.choice([
        [], [b"Host: " + host] * 2, [b"Host: " + host, b"host: other"], [b"Host: other", b"Host: " + host], [b"Host:"],
        [b"Host: %s, other" % host], [b"Host: %s other" % host], [b"Host: user@%s" % host], [b"Host: http://%s/" % host],
        [b"Host: %s/" % host], [b"Host: %s:80:80" % host], [b"Host: %s:x" % host], [b"Host: %s:-1" % host], [b"Host : " + host],
        [b"Host:\r\n " + host], [b"Host: %s\0" % host], [b"Host: %s\\other" % host], [b"Host: [::1"], [b"Host: %s?" % host]])


def bad_length(rng, request):
    give_body(rng, request, "length")
    drop_framing(request)
    length = b"%d" % len(request.body)
    lines = rng.choice([
        [b"+" + length], [b"-" + length], [length + b" " + length], [b"0x" + length], [length, length], [length, b"0"],
        [b"0", length], [length + b"," + length], [length + b", 0"], [b""], [length + b";"], [b"\"" + length + b"\""],
        [length + b".0"], [length + b"e0"], [b"\xa0" + length], [b"0_" + length], [b"1" + b"0" * 20], [length + b"\x0b"], [b"0,"],
        [b"identity"], [length + b"\xb2"]])
    request.fields += [("Content-Length", b" " + line) for line in lines]


def bad_coding(rng, request):
    give_body(rng, request, "chunked")
    drop_framing(request)
    codings = rng.choice([
        [b"xchunked"], [b"chunkedx"], [b"identity"], [b"chunked, identity"], [b"gzip, chunked"], [b"chunked, chunked"],
        [b"chunked", b"chunked"], [b"chunked", b"identity"], [b"identity", b"chunked"], [b"\x0bchunked"], [b"chunked\x0b"],
        [b"chunked;q=1"], [b"\"chunked\""], [b"'chunked'"], [b","], [b",chunked"], [b"chunked,"], [b""], [b"chun ked"],
        [b"chunked\0"], [b"\xa0chunked"], [b"cow, chunked"], [b"chunked\xe9"]])
    request.fields += [("Transfer-Encoding", b" " + coding) for coding in codings]
    if request.version == b"HTTP/1.1" and rng.random() < 0.3:
        request.fields.append(("Content-Length", b" %d" % len(request.body_sent)))


def both_framings(rng, request):
    give_body(rng, request, "chunked")
    length = rng.choice([0, 3, 5, len(request.body), len(request.body_sent)])
    request.fields.insert(rng.randrange(len(request.fields) + 1), ("Content-Length", b" %d" % length))
    if rng.random() < 0.3:
        request.body_sent = request.body


def old_chunks(rng, request):
    request.version = b"HTTP/1.0"
    give_body(rng, request, "chunked")


def kept_nominated(rng, request):
    name = rng.choice([b"Host", b"Content-Length", b"Transfer-Encoding", b"X-Forwarded-For", b"x-forwarded-host", b"Via", b"Cookie",
                       b"X-Request-Id", b"Authorization", b"Sec-WebSocket-Key", b"Origin", b"Expect", b"X-Real-IP"])
    request.fields.append(("Connection", rng.choice([b" %s", b" close, %s", b"keep-alive ,%s,"]) % name))


def bad_nominations(rng, request):
    request.fields.append(("Connection", rng.choice([b" a b", b" \"close\"", b" x;y", b" \xe9", b" close, x:", b" " + b"x," * 20])))


def body_with_upgrade(rng, request):
    if request.version == b"HTTP/1.0":
        request.version, request.closes = b"HTTP/1.1", False
    websocket(rng, request)
    give_body(rng, request, rng.choice(["length", "chunked"]))
    if not request.body:
        give_smuggled(request)


def give_smuggled(request):
    request.body = request.body_sent = SMUGGLED % request.host.encode()
    request.framing = "length"
    drop_framing(request)
    request.fields.append(("Content-Length", b" %d" % len(request.body)))


def bad_expectation(rng, request):
    request.fields.append(("Expect", rng.choice([b" 200-ok", b"", b" y 100-continue", b" 100-continue, x", b" 100-continue;q=1"])))


def bad_chunks(rng, request):
    """What is wrong comes behind a chunk that is right, or at once."""
    request.version, request.closes, request.upgrade = b"HTTP/1.1", False, False
    request.fields = [field for field in request.fields if field[0].lower() not in ("upgrade", "connection")]
    request.dropped.clear()
    give_body(rng, request, "chunked")
    smuggled = SMUGGLED % request.host.encode()
    first = rng.choice([b"", b"5\r\nhello\r\n", b"1;a\r\nx\r\n"])
    bad = rng.choice([
        b"g\r\n", b"0x1\r\nx\r\n", b"+1\r\nx\r\n", b"-1\r\nx\r\n", b" 1\r\nx\r\n", b"1 \r\nx\r\n", b"1\t\r\nx\r\n", b"1\nx\r\n", b"1\rx\r\n",
        b"1\r\r\nx\r\n", b"1;a\nx\r\n", b"1;a\n\r\nx\r\n", b"1;\x00\r\nx\r\n", b"\r\n", b";a\r\n", b"1\r\nx\n", b"1\r\nxy\r\n", b"1\r\nx\r0\r\n\r\n",
        b"3\r\nx\r\n0\r\n\r\n", b"00000000000000001\r\nx\r\n", b"10000000000000000\r\nx\r\n", b"1_0\r\n", b"1,1\r\nx\r\n", b"0\n\n", b"0\n\r\n",
        b"0\r\n\n", b"0\r\n\rx", b"0\r\nX\r\n\r\n", b"0\r\n: x\r\n\r\n", b"0\r\n X: y\r\n\r\n", b"0\r\nX: y\r\n z\r\n\r\n", b"0\r\nX : y\r\n\r\n",
        b"0\r\nX: \0\r\n\r\n", b"0\r\nX: y\n\r\n", b"0\r\n" + smuggled, b"1;" + b"e" * 17000, b"0\r\nX: " + b"t" * 17000])
    request.body_sent = first + bad + b"0\r\n\r\n" + smuggled
    request.begun = True


def short_body(rng, request):
    """The client goes away before its body has ended."""
    request.version, request.upgrade = b"HTTP/1.1", False
    request.fields = [field for field in request.fields if field[0].lower() not in ("upgrade", "connection")]
    request.dropped.clear()
    framing = rng.choice(["length", "chunked"])
    give_body(rng, request, framing)
    if not request.body:
        give_smuggled(request)
    request.body_sent = request.body_sent[:rng.randrange(len(request.body_sent))]
    request.begun = request.cut = True


WRONG = [bad_request_line, bad_target, bad_path, bad_path, bad_line, bad_line, bad_line_end, too_many_fields, bad_host, bad_length,
         bad_length, bad_coding, bad_coding, both_framings, old_chunks, kept_nominated, bad_nominations, body_with_upgrade,
         bad_expectation, bad_chunks, bad_chunks, bad_chunks, short_body]
