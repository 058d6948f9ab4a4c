"""Says what h11 made of everything that came: a line of JSON a request, before its answer is sent.

The first line is the port. A request whose body did not end is told as such, and so is what was no request.
"""

import json
import socket
import sys
import threading

import h11

HEAD_MAX = 1 << 17
READ_MAX = 1 << 16
tells = threading.Lock()


def main():
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    tell({"port": listener.getsockname()[1]})
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=serve, args=(connection,), daemon=True).start()


def tell(record):
    with tells:
        sys.stdout.write(json.dumps(record) + "\n")
        sys.stdout.flush()


def serve(connection):
    peer = h11.Connection(h11.SERVER, max_incomplete_event_size=HEAD_MAX)
    with connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while True:
            try:
                record = request(connection, peer)
                if record is None:
                    return
                tell(record)
                answer(connection, peer, record["method"])
                if h11.MUST_CLOSE in (peer.our_state, peer.their_state):
                    return
                peer.start_next_cycle()
            except Ended:
                return
            except h11.RemoteProtocolError as error:
                return tell({"error": str(error)})
            except OSError:
                return


class Ended(Exception):
    """The connection ended within a request, which has been told."""


def request(connection, peer):
    """A whole request; None if there is none."""
    head, body = None, b""
    while True:
        event = peer.next_event()
        if event is h11.NEED_DATA:
            if peer.they_are_waiting_for_100_continue:
                connection.sendall(peer.send(h11.InformationalResponse(status_code=100, headers=[])))
            received = connection.recv(READ_MAX)
            if not received and head is not None:
                tell(record_of(head, body, whole=False, trailers=[]))
                raise Ended
            peer.receive_data(received)
        elif isinstance(event, h11.Request):
            head = event
        elif isinstance(event, h11.Data):
            body += bytes(event.data)
        elif isinstance(event, h11.EndOfMessage):
            return record_of(head, body, whole=True, trailers=[text for pair in event.headers for text in pair])
        elif isinstance(event, h11.ConnectionClosed) or event is h11.PAUSED:
            return None


def record_of(head, body, whole, trailers):
    fields = [text.decode("latin-1") for pair in head.headers.raw_items() for text in pair]
    return {
        "whole": whole,
        "method": head.method.decode("latin-1"),
        "target": head.target.decode("latin-1"),
        "fields": fields,
        "trailers": [text.decode("latin-1") for text in trailers],
        "body": body.decode("latin-1"),
    }


def answer(connection, peer, method):
    seen = b"seen\n"
    head = h11.Response(status_code=200, headers=[("Content-Length", str(len(seen)))])
    parts = [peer.send(head), b"" if method == "HEAD" else peer.send(h11.Data(data=seen)), peer.send(h11.EndOfMessage())]
    connection.sendall(b"".join(parts))


main()
