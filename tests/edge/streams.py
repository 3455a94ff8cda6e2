"""h2load against a relay: signed events over HTTP/2, a hundred at once on each connection.

    python3 streams.py path/to/hookhold [events [connections]]

Every one must be accepted, and durable: repeats are events of their own here, since h2load sends the same one again and again.
"""

import re
import sys

from senders import Streams
from verdict import Verdict
from world import CONFIG, world

AT_ONCE = 100
EVENTS, CONNECTIONS = 20_000, 8
# Far below what any machine does: a relay that stands still for seconds has trouble.
PER_SECOND_MIN = 300
# Nothing is delivered meanwhile, so that this is about what comes in.
REPEATING = CONFIG.replace('provider = "github"', 'provider = "github"\ndedupe = "off"').replace("[[routes]]", "paused = true\n[[routes]]")


def main():
    verdict = Verdict("streams")
    events, connections = (int(given or usual) for given, usual in zip((sys.argv[2:] + [0, 0])[:2], (EVENTS, CONNECTIONS)))
    with world(sys.argv[1], REPEATING) as (relay, _):
        good, bad, said = Streams(relay, "-n", events, "-c", connections, "-m", AT_ONCE).end()
        stored = relay.call("GET", "/api/v1/status")[1]["store"]["events"]
        memory_mb = relay.memory_mb()
    verdict.need((good, bad) == (events, 0), f"not all succeeded:\n{said[-1500:]}")
    verdict.need(stored == events, f"{stored} events are stored")
    rate = float(re.search(r"([\d.]+) req/s", said)[1])
    verdict.need(rate >= PER_SECOND_MIN, f"fewer than {PER_SECOND_MIN} a second")
    slowest, mean = re.search(r"time for request: +\S+ +(\S+) +(\S+)", said).groups()
    verdict.tell(f"{good} events over {connections} connections, {AT_ONCE} at once on each: {rate:.0f}/s, mean {mean}, slowest {slowest}, "
                 f"{memory_mb:.0f} MB at most")
    verdict.end()


main()
