"""What a script found: one line of figures, and what does not hold."""

import sys


class Verdict:
    """What is true of a run, and what should be."""

    def __init__(self, name):
        self.name, self.figures, self.broken = name, [], []

    def tell(self, figure):
        self.figures.append(figure)

    def need(self, holds, what):
        if not holds:
            self.broken.append(what)

    def honest(self, load, p99_ms, at_least):
        """Everything that honest senders sent was accepted, in time, and it was enough to say so."""
        self.tell(load.figures())
        self.need(not load.failed, f"honest senders failed: {load.failed}")
        self.need(load.millis(0.99) <= p99_ms, f"p99 of honest senders is over {p99_ms} ms")
        self.need(len(load.accepted) >= at_least, f"honest senders sent fewer than {at_least} events")

    def end(self):
        print(f"{self.name}: {'; '.join(self.figures)}", flush=True)
        for what in self.broken:
            print(f"{self.name}: BROKEN: {what}", file=sys.stderr)
        sys.exit(1 if self.broken else 0)
