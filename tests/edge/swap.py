"""Certificates that are exchanged while honest senders go on, over connections that stay and over new ones, by HTTP/1.1 and HTTP/2.

    python3 swap.py path/to/hookhold

New files are noticed by the relay itself, and taken by SIGHUP and by the admin API; files that are no good change nothing. No request
may fail, no connection may be ended, and each new connection must soon be shown the new certificate.
"""

import signal
import sys
import time

from senders import Connection, Load, Streams
from verdict import Verdict
from world import tool, world

# The relay looks at its files every 10 s.
NOTICED_S = 30
# A reload reads files and parses them: milliseconds, but the machine may be busy.
TAKEN_S = 15
SWAPS = 10
# This is about failures. Late is what a sender would give up on; a busy machine must not be called a fault.
PER_SECOND, P99_MS, AT_LEAST = 400, 5000, 2000
# Senders of HTTP/2, each with requests of its own rate. They end by themselves, after the exchanges.
STREAMS_S, STREAMS = 16, ["-c", 4, "-m", 10, "--rps", 20]


def number_of(relay):
    """The number of the certificate in the file."""
    return int(tool("openssl", "x509", "-noout", "-serial", "-in", relay.folder / "shown.pem").strip().partition("=")[2], 16)


class Swaps:
    def __init__(self, relay, authority, verdict):
        self.relay, self.authority, self.verdict, self.context = relay, authority, verdict, authority.trusting()

    def shown(self):
        with Connection(self.relay.port, self.context) as connection:
            return connection.certificate()

    def wait(self, number, within_s, how):
        """Waits until this certificate is shown; the seconds."""
        start = time.monotonic()
        while self.shown() != number:
            if time.monotonic() - start > within_s:
                self.verdict.need(False, f"a certificate is not shown {within_s} s after it was {how}")
                break
            time.sleep(0.05)
        return time.monotonic() - start

    def noticed(self):
        self.authority.issue()
        took_s = self.wait(number_of(self.relay), NOTICED_S, "written")
        self.verdict.tell(f"new files noticed after {took_s:.1f} s")

    def taken(self):
        took = []
        for turn in range(SWAPS):
            self.authority.issue()
            if turn % 2:
                self.relay.process.send_signal(signal.SIGHUP)
            else:
                status, said = self.relay.call("POST", "/api/v1/reload")
                self.verdict.need(status == 200, f"a reload was answered with {status}: {said}")
            took.append(self.wait(number_of(self.relay), TAKEN_S, "taken by a reload"))
        self.verdict.tell(f"{SWAPS} exchanges by reloads, shown after {1000 * max(took):.0f} ms at most")

    def refused(self):
        """A key that belongs to another certificate."""
        before = self.shown()
        self.authority.issue("other")
        (self.relay.folder / "other-key.pem").rename(self.relay.folder / "shown-key.pem")
        status, said = self.relay.call("POST", "/api/v1/reload")
        self.verdict.need(status == 422, f"a key of another certificate was answered with {status}: {said}")
        self.verdict.need(self.shown() == before, "a certificate without its key is shown")


def main():
    verdict = Verdict("swap")
    with world(sys.argv[1]) as (relay, authority), Load(relay.port, authority.trusting(), per_second=PER_SECOND) as load:
        streams = Streams(relay, "-D", STREAMS_S, *STREAMS)
        swaps = Swaps(relay, authority, verdict)
        swaps.noticed()
        swaps.taken()
        swaps.refused()
        good, bad, said = streams.end()
    verdict.need(bad == 0 and good > 0, f"requests of HTTP/2 failed:\n{said[-1500:]}")
    verdict.need(load.kept == load.keeping, f"{load.kept - load.keeping} connections were ended")
    verdict.honest(load, P99_MS, AT_LEAST)
    verdict.tell(f"{good} over HTTP/2, {bad} failed")
    verdict.end()


main()
