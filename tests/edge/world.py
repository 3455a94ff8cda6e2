"""A relay as its users run it, for the scripts beside this one: the real binary, a relay.toml, free ports, a temporary folder, certificates
of an authority of its own, an application behind it, and senders that sign. Nothing but Python's own library and `openssl`.

docs/EDGE.md tells what each script shows.
"""

import asyncio
import contextlib
import json
import pathlib
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request

sys.path.append(str(pathlib.Path(__file__).parent.parent))

from relay import start

SECRET = "a secret for tests of the edge"
HOST = "hooks.example.com"
# The relay lets what is under way end for 8 s.
STOP_S = 30
# Whoever waits so long for an answer has lost its patience; providers have before.
PATIENCE_S = 10

CONFIG = """
[listen]
https = "127.0.0.1:0"
[tls]
certificates = [{ cert = "shown.pem", key = "shown-key.pem" }]
[admin]
listen = "127.0.0.1:0"
[sources.github]
path = "/in/github"
provider = "github"
secrets = [{ file = "secret" }]
[destinations.app]
url = "http://127.0.0.1:{app}/app"
[[routes]]
from = "github"
to = ["app"]
"""


def tool(*command, **options):
    """What a program says; the script ends where it fails."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(map(str, command))} ended with {done.returncode}:\n{done.stdout[-3000:]}")
    return done.stdout


class Authority:
    """Who vouches for certificates."""

    def __init__(self, folder):
        self.folder, self.file = folder, folder / "authority.pem"
        tool("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "365", "-subj", "/O=Hookhold/CN=Authority of tests",
             "-addext", "keyUsage=critical,keyCertSign,cRLSign", "-keyout", folder / "authority-key.pem", "-out", self.file)

    def issue(self, name="shown", key=("ec", "-pkeyopt", "ec_paramgen_curve:P-256"), days=90):
        """Writes `name.pem` and `name-key.pem`, both whole at once."""
        request, cert, private, says = (self.folder / f"{name}{end}" for end in (".csr", ".new", "-key.new", ".ext"))
        says.write_text(f"subjectAltName=DNS:{HOST},IP:127.0.0.1\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=serverAuth\n"
                        f"crlDistributionPoints=URI:http://{HOST}/revoked.crl\n")
        tool("openssl", "req", "-new", "-newkey", *key, "-nodes", "-subj", f"/CN={HOST}", "-keyout", private, "-out", request)
        tool("openssl", "x509", "-req", "-in", request, "-CA", self.file, "-CAkey", self.folder / "authority-key.pem", "-CAcreateserial",
             "-days", str(days), "-extfile", says, "-out", cert)
        private.chmod(0o600)
        private.rename(self.folder / f"{name}-key.pem")
        cert.rename(self.folder / f"{name}.pem")

    def trusting(self):
        """How a client speaks TLS that trusts nobody else."""
        context = ssl.create_default_context(cafile=self.file)
        context.set_alpn_protocols(["http/1.1"])
        return context


class Application:
    """An application that takes everything, and counts events by their id at each of its paths."""

    def __init__(self):
        self.seen, ready = {}, threading.Event()
        threading.Thread(target=lambda: asyncio.run(self._serve(ready)), daemon=True).start()
        ready.wait()

    async def _serve(self, ready):
        server = await asyncio.start_server(self._connection, "127.0.0.1", 0, backlog=1024)
        self.port = server.sockets[0].getsockname()[1]
        ready.set()
        await server.serve_forever()

    async def _connection(self, reader, writer):
        with contextlib.suppress(OSError, asyncio.IncompleteReadError), contextlib.closing(writer):
            while True:
                line, *fields = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
                fields = {name.lower(): value.strip() for name, _, value in (field.partition(":") for field in fields)}
                await reader.readexactly(int(fields.get("content-length", 0)))
                self.seen.setdefault(line.split()[1], set()).add(fields.get("x-github-delivery"))
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")


class Relay:
    """The binary, running in `folder`. `config` may say `{app}` for the application's port."""

    def __init__(self, binary, folder, config, app):
        self.folder, self.app = folder, app
        self.write("secret", SECRET)
        self.configure(config)
        self.process, self.https, self.admin = start(binary, folder)
        self.port = int(self.https.rpartition(":")[2])

    def configure(self, config):
        self.write("relay.toml", config.replace("{app}", str(self.app.port)))

    def write(self, name, text):
        """A file, whole at once, that only its owner may read."""
        new = self.folder / f"{name}.new"
        new.write_text(text)
        new.chmod(0o600)
        new.rename(self.folder / name)

    def call(self, method, path):
        """A call of the admin API: the status, and what it says."""
        request = urllib.request.Request(self.admin + path, method=method, headers={"content-type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    def metric(self, name):
        """The value of a metric, all its series together."""
        with urllib.request.urlopen(self.admin + "/metrics", timeout=PATIENCE_S) as answer:
            lines = answer.read().decode().splitlines()
        values = [line.rpartition(" ")[2] for line in lines if line.startswith((name + "{", name + " "))]
        return sum(map(float, values))

    def memory_mb(self):
        """The most resident memory so far."""
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return next(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmHWM:"))

    def said(self):
        return (self.folder / "log").read_text()[-5000:]

    def stop(self):
        self.process.terminate()
        code = self.process.wait(timeout=STOP_S)
        if code != 0 or "a part of the relay failed" in (self.folder / "log").read_text():
            raise SystemExit(f"the relay ended with {code}:\n{self.said()}")


@contextlib.contextmanager
def world(binary, config=CONFIG):
    """A relay with its authority and application; it must end well."""
    with tempfile.TemporaryDirectory(prefix="hookhold-edge-") as name:
        folder = pathlib.Path(name)
        authority = Authority(folder)
        authority.issue()
        relay = Relay(binary, folder, config, Application())
        try:
            yield relay, authority
        except BaseException:
            relay.process.kill()
            raise
        relay.stop()
