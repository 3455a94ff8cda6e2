"""slowhttptest against a relay: slow heads, slow bodies and slow readers, all at once, while honest senders go on.

    python3 slow.py path/to/hookhold [connections of each kind]

Every slow connection must be ended by the relay's own bounds, and nobody honest may notice.
"""

import csv
import subprocess
import sys
import time

from senders import Load
from verdict import Verdict
from world import world

# Slow in each way. A head or a body goes on with some bytes each 5 s, and would never end; a reader asks for ten answers at once, has
# the smallest window that there is, and takes 8 bytes of it each 5 s.
KINDS = {
    "heads": ["-H", "-i", "5", "-x", "24", "-t", "POST"],
    "bodies": ["-B", "-i", "5", "-x", "24", "-s", "8192", "-f", "application/json"],
    "readers": ["-X", "-w", "1", "-y", "32", "-n", "5", "-z", "8", "-k", "10"],
}
# A head may take 15 s, a body has 10 s of grace, what is not read 30 s; and the connections take some seconds to begin.
ENDED_S = 45
# slowhttptest opens so many a second.
OPENED_PER_S = 150
PER_SECOND, P99_MS = 100, 1000
# Before, honest senders are alone: where the machine itself is too busy for the bound, twice of what they see then counts.
ALONE_S, BUSY = 4, 2
# Some of many may be late while the machine is busy.
SHARE_AT_ONCE = 0.9


def start(kind, relay, connections):
    command = ["slowhttptest", *KINDS[kind], "-c", str(connections), "-r", str(OPENED_PER_S), "-l", str(ENDED_S + 5), "-p", "5",
               "-u", relay.https + "/in/github", "-g", "-o", str(relay.folder / kind), "-v", "1"]
    out = open(relay.folder / f"{kind}.out", "w")
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT)


def watch(relay, honest):
    """The most connections at once, and the seconds until only honest ones are left (none: they are not)."""
    start, most = time.monotonic(), 0
    while (now := time.monotonic() - start) < ENDED_S:
        open_now = relay.metric("hookhold_connections")
        most = max(most, open_now)
        if most > honest and open_now <= honest and now > 5:
            return most, now
        time.sleep(0.2)
    return most, None


def judge(verdict, kind, tester, relay):
    """What slowhttptest itself has seen."""
    said = (relay.folder / f"{kind}.out").read_text()
    if kind == "readers":
        # It hears of an end only when it has read all that came before, which is not soon.
        tester.kill()
        tester.wait()
        verdict.need("service available:   NO" not in said, "slowhttptest says that nobody answers, with slow readers")
        return
    tester.wait(timeout=30)
    rows = list(csv.reader(open(relay.folder / f"{kind}.csv")))[1:]
    verdict.need(rows and all(int(row[4]) > 0 for row in rows), f"slowhttptest says that nobody answers, with slow {kind}")
    verdict.tell(f"slow {kind} ended after {rows[-1][0]} s")


def attack(verdict, relay, connections, load):
    """All kinds at once, until the relay has ended them."""
    testers = {kind: start(kind, relay, connections) for kind in KINDS}
    try:
        most, ended_s = watch(relay, honest=load.count)
        for kind, tester in testers.items():
            judge(verdict, kind, tester, relay)
    finally:
        for tester in testers.values():
            tester.kill()
    wanted = SHARE_AT_ONCE * connections * len(KINDS)
    verdict.need(most >= wanted, f"only {most:.0f} connections were open at once")
    verdict.need(ended_s is not None, f"slow connections are still open after {ENDED_S} s")
    verdict.tell(f"of {most:.0f} connections at once the slow ones were ended after {ended_s and round(ended_s)} s")


def main():
    binary, connections = sys.argv[1], int((sys.argv[2:] or ["300"])[0])
    verdict = Verdict("slow")
    with world(binary) as (relay, authority):
        with Load(relay.port, authority.trusting(), per_second=PER_SECOND) as alone:
            time.sleep(ALONE_S)
        with Load(relay.port, authority.trusting(), per_second=PER_SECOND) as load:
            attack(verdict, relay, connections, load)
        verdict.tell(f"{relay.memory_mb():.0f} MB at most")
    verdict.need(not alone.failed, f"honest senders failed without slow ones: {alone.failed}")
    verdict.honest(load, max(P99_MS, BUSY * alone.millis(0.99)), at_least=PER_SECOND * 5)
    verdict.end()


main()
