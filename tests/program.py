"""The real program on free ports of the loopback, for the suites in Python; ended by its own process id."""

import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time

READY_WITHIN_S = 15
EXIT_WITHIN_S = 15


class SetupFailed(Exception):
    """What the run needs could not be had."""


class Server:
    """Runs the program with a configuration, in which {port} and {admin_port} are put."""

    def __init__(self, program, configuration, environment=None):
        self.program = program
        self.configuration = configuration
        self.environment = {**os.environ, **(environment or {})}

    def __enter__(self):
        self.port, self.admin_port = free_ports(2)
        self.folder = tempfile.mkdtemp(prefix="vestibule-suite-")
        file = pathlib.Path(self.folder, "vestibule.toml")
        file.write_text(self.configuration.format(port=self.port, admin_port=self.admin_port), encoding="utf-8")
        self.log = open(pathlib.Path(self.folder, "log"), "w+", encoding="utf-8")
        try:
            self.process = subprocess.Popen([self.program, "serve", "--config", file], stdin=subprocess.DEVNULL,
                                            stdout=self.log, stderr=subprocess.STDOUT, env=self.environment)
        except OSError as failure:
            self.discard()
            raise SetupFailed(f"{self.program}: {failure}") from failure
        deadline = time.monotonic() + READY_WITHIN_S
        while not (answers(self.port) and answers(self.admin_port)):
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.__exit__()
                raise SetupFailed(f"{self.program} does not listen:\n{self.printed}")
            time.sleep(0.05)
        return self

    def __exit__(self, *_):
        self.died = self.process.poll() is not None
        if not self.died:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(EXIT_WITHIN_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.log.seek(0)
        self.printed = self.log.read()
        self.discard()

    def discard(self):
        self.log.close()
        shutil.rmtree(self.folder)


def free_ports(count):
    """Ports that were free a moment ago; all are held until the last is known."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [held.getsockname()[1] for held in sockets]
    for held in sockets:
        held.close()
    return ports


def answers(port):
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
        return True
    except OSError:
        return False
