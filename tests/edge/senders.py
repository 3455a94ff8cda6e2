"""Honest senders of signed events: over HTTP/1.1 at a constant rate, by this program, and over HTTP/2, by h2load.

They try once: what fails has failed, whoever would have tried again.
"""

import hashlib
import hmac
import itertools
import json
import re
import socket
import subprocess
import threading
import time

from world import HOST, PATIENCE_S, SECRET

BODY = json.dumps({"filling": "x" * 500}).encode()
# GitHub's signature covers the body only, so that one serves every delivery id.
FIELDS = {
    "content-type": "application/json",
    "x-github-event": "push",
    "x-hub-signature-256": "sha256=" + hmac.new(SECRET.encode(), BODY, hashlib.sha256).hexdigest(),
}
PATH = "/in/github"


def event(number, path=PATH):
    """A signed event, ready to send."""
    fields = {"host": HOST, **FIELDS, "x-github-delivery": f"id-{number}", "content-length": len(BODY)}
    head = [f"POST {path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items()), "", ""]
    return "\r\n".join(head).encode() + BODY


class Connection:
    """A connection of HTTP/1.1 over TLS, open as long as the relay wants."""

    def __init__(self, port, context):
        tcp = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S)
        tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.stream = context.wrap_socket(tcp, server_hostname=HOST)
        self.is_over = False

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stream.close()

    def certificate(self):
        """The number of the certificate that was shown."""
        return int(self.stream.getpeercert()["serialNumber"], 16)

    def exchange(self, request):
        """Sends a request and reads its whole answer; the status."""
        self.stream.sendall(request)
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += self._some()
        head, _, body = answer.partition(b"\r\n\r\n")
        fields = dict(line.split(": ", 1) for line in head.decode("latin-1").lower().split("\r\n")[1:])
        while len(body) < int(fields.get("content-length", 0)):
            body += self._some()
        self.is_over = fields.get("connection") == "close"
        return int(head.split()[1])

    def _some(self):
        some = self.stream.recv(65536)
        if not some:
            raise ConnectionError("closed before the answer")
        return some


class Load:
    """Senders, while it is entered: some keep their connection, others open one for each event. What they send is due at a constant rate,
    and latency counts from the time at which it was due, so that waiting is not hidden. Ids of events are numbers from `first` on."""

    def __init__(self, port, context, keeping=8, opening=8, per_second=400, first=0):
        self.port, self.context = port, context
        self.keeping, self.count = keeping, keeping + opening
        self.gap = self.count / per_second
        # The ids of events that were accepted, seconds that each took, how many failed by what it was, and connections that were kept.
        self.accepted, self.latencies, self.failed, self.kept = [], [], {}, 0
        self.numbers, self.done, self.lock, self.threads = itertools.count(first), threading.Event(), threading.Lock(), []

    def __enter__(self):
        start = time.monotonic()
        for place in range(self.count):
            first = start + self.gap * place / self.count
            self.threads.append(threading.Thread(target=self._send, args=[place < self.keeping, first], daemon=True))
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.done.set()
        for thread in self.threads:
            thread.join()

    def _send(self, keeps, due):
        connection = None
        while not self.done.wait(max(0, due - time.monotonic())):
            number = next(self.numbers)
            try:
                if connection is None:
                    connection = Connection(self.port, self.context)
                    self.note(keeps)
                status = connection.exchange(event(number))
                failed = None if status == 200 else f"status {status}"
                is_over = connection.is_over or not keeps
            except (OSError, ValueError) as error:
                failed, is_over = f"{type(error).__name__}: {error}", True
            if failed:
                with self.lock:
                    self.failed[failed] = self.failed.get(failed, 0) + 1
            else:
                self.accepted.append(f"id-{number}")
                self.latencies.append(time.monotonic() - due)
            if connection and is_over:
                connection.stream.close()
                connection = None
            due += self.gap
        if connection:
            connection.stream.close()

    def note(self, keeps):
        with self.lock:
            self.kept += keeps

    def millis(self, share):
        """The latency that so large a share of events had at most."""
        ordered = sorted(self.latencies) or [float("inf")]
        return 1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))]

    def figures(self):
        return (f"{len(self.accepted)} events accepted, {sum(self.failed.values())} failed, "
                f"p50 {self.millis(0.5):.1f} ms, p99 {self.millis(0.99):.1f} ms, slowest {self.millis(1):.1f} ms")


class Streams:
    """h2load, sending the same signed event again and again over HTTP/2. `options` say how many, or for how long."""

    def __init__(self, relay, *options):
        body = relay.folder / "body"
        body.write_bytes(BODY)
        fields = [word for name, value in FIELDS.items() for word in ("-H", f"{name}: {value}")]
        command = ["h2load", *map(str, options), "-t", "1", "-d", str(body), *fields, f"https://127.0.0.1:{relay.port}{PATH}"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def end(self):
        """What h2load says when it is done: how many requests succeeded, and the rest of it."""
        said, _ = self.process.communicate()
        found = re.search(r"(\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout", said)
        if not found or "Application protocol: h2\n" not in said:
            raise SystemExit(f"h2load ended with {self.process.returncode}:\n{said[-2000:]}")
        good, *bad = map(int, found.groups())
        accepted = int(re.search(r"status codes: (\d+) 2xx", said)[1])
        return good, sum(bad) + good - accepted, said
