"""Reloads that change sources, secrets, routes, destinations and limits, while honest senders go on over HTTP/1.1 and HTTP/2.

    python3 reload.py path/to/hookhold

By SIGHUP and by the admin API in turn, with files that cannot be used between them. No request may fail, no connection may be ended, each
reload must be in force once it is answered, and everything that was accepted must come to the application.
"""

import signal
import sys
import time

from senders import Connection, Load, Streams, event
from verdict import Verdict
from world import CONFIG, SECRET, world

SECONDS, PAUSE_S = 12, 0.2
# Until a signal's reload is in force, and until the application has everything: a busy machine must not be called a fault.
IN_FORCE_S, DELIVERED_S = 15, 60
# This is about failures. Late is what a sender would give up on; a busy machine must not be called a fault.
PER_SECOND, P99_MS, AT_LEAST = 400, 5000, 2000
# So many, however long they take.
RELOADS_MIN = 20
STREAMS = ["-c", 4, "-m", 10, "--rps", 20]

# A second source, whose events go elsewhere, a second destination for everybody, a secret that is being replaced, and other limits.
MORE = CONFIG.replace('{ file = "secret" }', '{ file = "secret-new" }, { file = "secret" }').replace('to = ["app"]', 'to = ["ledger", "app"]') + """
[sources.other]
path = "/in/other"
provider = "github"
secrets = [{ file = "secret" }]
[destinations.ledger]
url = "http://127.0.0.1:{app}/ledger"
in_flight = 4
[[routes]]
from = "other"
to = ["ledger"]
[limits]
body = "2MiB"
http2_streams = 50
"""
BROKEN = MORE.replace("in_flight", "in_fligth")


class Reloads:
    def __init__(self, relay, authority, verdict):
        self.relay, self.verdict, self.context = relay, verdict, authority.trusting()
        self.count, self.refused, self.slowest_s = 0, 0, 0

    def is_more(self):
        """Whether the second source is there: whoever calls it opens a connection, as new senders do."""
        with Connection(self.relay.port, self.context) as connection:
            status = connection.exchange(event(f"other-{self.count}", "/in/other"))
        self.verdict.need(status in (200, 404), f"the second source answered with {status}")
        return status == 200

    def reload(self, by_signal, more):
        """Has this configuration, and waits until it is in force."""
        self.relay.configure(MORE if more else CONFIG)
        start = time.monotonic()
        if by_signal:
            self.relay.process.send_signal(signal.SIGHUP)
            while self.is_more() != more and time.monotonic() - start < IN_FORCE_S:
                time.sleep(0.01)
        else:
            status, said = self.relay.call("POST", "/api/v1/reload")
            self.verdict.need(status == 200 and len(said["changed"]) > 3, f"a reload was answered with {status}: {said}")
        self.slowest_s = max(self.slowest_s, time.monotonic() - start)
        self.verdict.need(self.is_more() == more, "a reload is not in force")
        self.count += 1

    def refuse(self, more):
        """A file that cannot be used changes nothing."""
        self.relay.configure(BROKEN)
        status, said = self.relay.call("POST", "/api/v1/reload")
        self.verdict.need(status == 422, f"a broken file was answered with {status}: {said}")
        self.verdict.need(self.is_more() == more, "a broken file is in force")
        self.refused += 1

    def go_on(self):
        end, more = time.monotonic() + SECONDS, False
        while time.monotonic() < end or self.count < RELOADS_MIN:
            more = not more
            self.reload(by_signal=self.count % 4 < 2, more=more)
            if self.count % 5 == 0:
                self.refuse(more)
            time.sleep(PAUSE_S)


def delivered(relay, wanted):
    """What the application lacks, after a while."""
    end = time.monotonic() + DELIVERED_S
    while (left := wanted - relay.app.seen.get("/app", set())) and time.monotonic() < end:
        time.sleep(0.1)
    return left


def main():
    verdict = Verdict("reload")
    with world(sys.argv[1]) as (relay, authority):
        relay.write("secret-new", SECRET + ", the next one")
        with Load(relay.port, authority.trusting(), per_second=PER_SECOND) as load:
            streams = Streams(relay, "-D", SECONDS + 2, *STREAMS)
            reloads = Reloads(relay, authority, verdict)
            reloads.go_on()
            good, bad, said = streams.end()
        left = delivered(relay, set(load.accepted))
        seen_by_ledger = len(relay.app.seen.get("/ledger", ()))
    verdict.tell(f"{reloads.count} reloads, in force after {1000 * reloads.slowest_s:.0f} ms at most, {reloads.refused} broken files refused")
    verdict.need(bad == 0 and good > 0, f"requests of HTTP/2 failed:\n{said[-1500:]}")
    verdict.need(load.kept == load.keeping, f"{load.kept - load.keeping} connections were ended")
    verdict.need(not left, f"{len(left)} events were accepted and did not come to the application")
    verdict.need(seen_by_ledger > 0, "nothing came to the second destination")
    verdict.honest(load, P99_MS, AT_LEAST)
    verdict.tell(f"{good} over HTTP/2, {bad} failed; all came to the application")
    verdict.end()


main()
