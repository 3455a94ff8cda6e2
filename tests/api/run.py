"""Schemathesis against a real relay: what it answers is what /openapi.json says, whatever it is asked.

    python run.py path/to/hookhold

A relay of its own in a temporary folder, with events, deliveries in every state, replays and requests in quarantine; all calls,
destructive ones too. More events come meanwhile, and what was paused goes on, so that there is always something to find. Ends with 1
where anything is not as described, and says how to see it again. With API_SECONDS it goes on to look for so long, each time anew.
"""

import hashlib
import hmac
import http.server
import json
import os
import pathlib
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request

HERE = pathlib.Path(__file__).parent
sys.path.append(str(HERE.parent))

from relay import start

# The same calls in each run, however fast the machine is: a change that fails here is the change's doing. Another seed finds other things.
SEED = os.environ.get("API_SEED", "20260921")
# Made-up calls of each operation.
EXAMPLES = os.environ.get("API_EXAMPLES", "300")
# For all phases together: with a bound they are repeated with other calls until it is spent.
SECONDS = os.environ.get("API_SECONDS")
TOKEN, SECRET = "token-for-tests", "a secret for tests"

CONFIG = """
[listen]
https = "127.0.0.1:0"
[tls]
self_signed = true
[admin]
listen = "127.0.0.1:0"
tokens = [{ name = "tests", role = "operator", secret = { file = "token" } }]
# Named as examples in the description are, so that more calls find something.
[sources.billing]
path = "/in/gh"
provider = "github"
secrets = [{ file = "secret" }]
[sources.asana]
path = "/in/asana"
provider = "asana"
[destinations.billing]
url = "http://127.0.0.1:{app}/takes"
order_by = "/order"
[destinations.refuses]
url = "http://127.0.0.1:{app}/refuses"
[destinations.fails]
url = "http://127.0.0.1:{app}/fails"
[[routes]]
from = "billing"
to = ["billing", "refuses", "fails"]
[[routes]]
from = "asana"
to = ["billing"]
"""


class App(http.server.BaseHTTPRequestHandler):
    """An application that takes, refuses for good, or fails."""

    def do_POST(self):
        self.rfile.read(int(self.headers.get("content-length", 0)))
        self.send_response({"/takes": 200, "/refuses": 400}.get(self.path, 503))
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


class Relay:
    def __init__(self, binary, folder, app):
        (folder / "token").write_text(TOKEN)
        (folder / "secret").write_text(SECRET)
        (folder / "relay.toml").write_text(CONFIG.replace("{app}", str(app)))
        self.folder = folder
        self.process, self.https, self.admin = start(binary, folder)

    def call(self, method, path, body=None):
        headers = {"authorization": f"Bearer {TOKEN}", "content-type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.admin + path, data=data, method=method, headers=headers)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)

    def webhook(self, number, secret=SECRET):
        body = json.dumps({"number": number, "order": number % 3}).encode()
        signature = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
        headers = {
            "content-type": "application/json",
            "x-github-delivery": f"id-{secret}-{number}".replace(" ", ""),
            "x-github-event": ["push", "ping"][number % 2],
            "x-hub-signature-256": f"sha256={signature}",
        }
        request = urllib.request.Request(self.https + "/in/gh", data=body, headers=headers)
        unproved = ssl._create_unverified_context()
        try:
            urllib.request.urlopen(request, timeout=30, context=unproved).close()
        except urllib.error.HTTPError as error:
            # Not believed, as it should be, or its source is paused by the test.
            if error.code not in (401, 503):
                raise

    def fill(self):
        """Something of everything that lists can show."""
        for number in range(40):
            self.webhook(number)
            self.webhook(number, secret="another")
        for state in ("delivered", "parked", "pending"):
            self.wait(lambda: self.call("GET", f"/api/v1/deliveries?state={state}")["items"], state)
        self.call("POST", "/api/v1/replays", {"filter": {"source": "billing"}, "to": ["billing"], "rate_per_s": 1})
        paused = self.call("POST", "/api/v1/replays", {"filter": {"type": "push"}, "rate_per_s": 0.1})
        self.call("POST", f"/api/v1/replays/{paused['id']}/pause")
        self.wait(lambda: self.call("GET", "/api/v1/quarantine")["items"], "quarantined")

    def wait(self, look, what):
        end = time.monotonic() + 30
        while not look():
            if time.monotonic() > end:
                raise SystemExit(f"nothing is {what}")
            time.sleep(0.1)

    def keep_going(self, until):
        """More comes, and what calls have paused goes on."""
        number = 1000
        while not until.wait(0.5):
            for path in ("sources/billing", "destinations/billing", "destinations/refuses", "destinations/fails"):
                self.call("POST", f"/api/v1/{path}/resume")
            for secret in (SECRET, "another"):
                self.webhook(number, secret)
            number += 1

    def stop(self):
        self.process.terminate()
        code = self.process.wait(timeout=30)
        said = (self.folder / "log").read_text()
        if code != 0 or "panic" in said:
            raise SystemExit(f"the relay ended with {code}:\n{said[-5000:]}")


def streams(api):
    """Paths whose answer does not end: nothing can be compared with it."""
    for path, item in api["paths"].items():
        answers = [answer for operation in item.values() for answer in operation["responses"].values()]
        if any("text/event-stream" in answer.get("content", {}) for answer in answers):
            yield path


def examine(relay, folder):
    command = [
        "schemathesis", "run", relay.admin + "/openapi.json",
        "--header", f"Authorization: Bearer {TOKEN}",
        "--checks", "all", "--exclude-checks", "positive_data_acceptance,negative_data_rejection",
        "--phases", "examples,coverage,fuzzing,stateful",
        "--max-examples", EXAMPLES, "--seed", SEED, *(["--max-time", SECONDS] if SECONDS else []),
        "--generation-database", "none", "--generation-with-security-parameters", "false",
        "--continue-on-failure", "--request-timeout", "30", "--no-color", "--warnings", "off",
    ]
    for path in streams(relay.call("GET", "/openapi.json")):
        command += ["--exclude-path", path]
    environment = {**os.environ, "SCHEMATHESIS_HOOKS": "checks", "PYTHONPATH": str(HERE), "PYTHONDONTWRITEBYTECODE": "1"}
    command[0] = str(pathlib.Path(sys.executable).parent / command[0])
    # What it writes is gone with the folder.
    return subprocess.run(command, env=environment, cwd=folder).returncode


def main():
    app = http.server.ThreadingHTTPServer(("127.0.0.1", 0), App)
    threading.Thread(target=app.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory() as folder:
        relay = Relay(sys.argv[1], pathlib.Path(folder), app.server_port)
        try:
            relay.fill()
            done = threading.Event()
            going = threading.Thread(target=relay.keep_going, args=[done])
            going.start()
            try:
                code = examine(relay, folder)
            finally:
                done.set()
                going.join()
        finally:
            relay.stop()
    sys.exit(code)


main()
