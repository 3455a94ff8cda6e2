"""A live systemd runs the units of packaging/systemd: restarts, reloads and a crash under load, and commands of root's on the store.

    sudo python3 systemd.py path/to/hookhold

It boots in a container (systemd-nspawn) on a copy of this machine's root, of which nothing is changed: all that is written goes into memory.
No honest sender may fail in a restart or a reload; whatever was accepted must come to the application, a crash or not.
"""

import contextlib
import hashlib
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile
import time

from senders import Load
from verdict import Verdict
from world import SECRET, Application, Authority, tool

ROOT = pathlib.Path(__file__).resolve().parents[2]
# What a boot, and what an action of systemd takes at most on a busy machine.
BOOT_S, ACTION_S = 120, 60
# Until the application has everything.
DELIVERED_S = 30
PER_SECOND, P99_MS, AT_LEAST = 200, 5000, 1000
# More than is sent in a turn.
IDS_OF_A_TURN = 100_000
TOKEN = "a token of the edge's tests"
# A crash breaks what is under way: at most an event on each connection.
SENDERS = 16

CONFIG = """
[listen]
https = "127.0.0.1:{port}"
[tls]
certificates = [{ cert = "/run/credentials/hookhold.service/cert", key = "/run/credentials/hookhold.service/key" }]
[admin]
listen = "127.0.0.1:{admin}"
tokens = [{ name = "ops", role = "operator", sha256 = "{token}" }]
[store]
path = "/var/lib/hookhold/data"
[sources.github]
path = "/in/github"
provider = "github"
secrets = [{ file = "/run/credentials/hookhold.service/github" }]
[destinations.app]
url = "http://127.0.0.1:{app}/app"
[[routes]]
from = "github"
to = ["app"]
"""
SERVICE = "[Service]\n" + "".join(f"LoadCredential={name}:/etc/hookhold/{name}\n" for name in ("cert", "key", "github"))
SOCKET = "[Socket]\nListenStream=\nListenStream=127.0.0.1:{port}\n"


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


@contextlib.contextmanager
def root_on_memory(folder):
    """This machine's root, to be written on."""
    memory, root = folder / "memory", folder / "root"
    memory.mkdir()
    root.mkdir()
    tool("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", memory)
    try:
        for name in ("upper", "work"):
            (memory / name).mkdir()
        tool("mount", "-t", "overlay", "-o", f"lowerdir=/,upperdir={memory}/upper,workdir={memory}/work", "overlay", root)
        try:
            yield root
        finally:
            tool("umount", root)
    finally:
        tool("umount", memory)


class Machine:
    """A container in which systemd is process 1. It shares the network."""

    def __init__(self, root, said):
        (root / "etc/machine-id").unlink(missing_ok=True)
        (root / "etc/machine-id").touch()
        command = ["systemd-nspawn", "--register=no", "--keep-unit", "-q", "-D", root, "-M", "hookhold-edge", "-b",
                   "systemd.unit=basic.target"]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=open(said, "w"), stderr=subprocess.STDOUT)
        end = time.monotonic() + BOOT_S
        while self.run("systemctl", "is-active", "-q", "basic.target").returncode != 0:
            if time.monotonic() > end or self.process.poll() is not None:
                raise SystemExit(f"systemd does not start:\n{said.read_text()[-3000:]}")
            time.sleep(0.2)

    def run(self, *command):
        children = pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        leader = (children.read_text().split() or ["0"])[0]
        enter = ["nsenter", "-t", leader, "-a", *map(str, command)]
        return subprocess.run(enter, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=ACTION_S)

    def must(self, *command):
        done = self.run(*command)
        if done.returncode != 0:
            log = self.run("journalctl", "-u", "hookhold", "--no-pager", "-n", "30").stdout
            raise SystemExit(f"{' '.join(map(str, command))} ended with {done.returncode}:\n{done.stdout}\n{log}")
        return done.stdout

    def end(self):
        self.process.terminate()
        self.process.wait(timeout=ACTION_S)


def install(binary, root, authority, app, port):
    """As docs/guides/systemd.md says."""
    etc, units = root / "etc/hookhold", root / "etc/systemd/system"
    etc.mkdir()
    shutil.copy(binary, root / "usr/local/bin/hookhold")
    for unit, more in (("service", SERVICE), ("socket", SOCKET.replace("{port}", str(port)))):
        shutil.copy(ROOT / f"packaging/systemd/hookhold.{unit}", units)
        (units / f"hookhold.{unit}.d").mkdir()
        (units / f"hookhold.{unit}.d/trial.conf").write_text(more)
    for name, content in (("cert", (authority.folder / "shown.pem").read_text()), ("github", SECRET),
                          ("key", (authority.folder / "shown-key.pem").read_text()), ("secrets.env", f'HOOKHOLD_TOKEN="{TOKEN}"\n')):
        (etc / name).write_text(content)
        (etc / name).chmod(0o600)
    values = {"port": port, "admin": free_port(), "app": app.port, "token": hashlib.sha256(TOKEN.encode()).hexdigest()}
    config = CONFIG
    for name, value in values.items():
        config = config.replace(f"{{{name}}}", str(value))
    (etc / "relay.toml").write_text(config)
    return etc / "relay.toml"


def restarts(machine, _):
    """Everything that keeps the sockets open."""
    for command in (["kill", "--kill-whom=main", "--signal=USR2"], ["restart"]) * 2:
        machine.must("systemctl", *command, "hookhold")
        time.sleep(2)


def reloads(machine, file):
    """A file that can be used, and one that cannot."""
    good = file.read_text()
    file.write_text(good + "[limits]\nhttp2_streams = 50\n")
    machine.must("systemctl", "reload", "hookhold")
    file.write_text(good.replace("provider", "provdier"))
    if machine.run("systemctl", "reload", "hookhold").returncode == 0:
        raise SystemExit("a reload of a file that cannot be used succeeded")
    if "did you mean" not in machine.must("journalctl", "-u", "hookhold", "--no-pager", "-n", "20"):
        raise SystemExit("the journal does not say what is wrong with the file")
    file.write_text(good)
    machine.must("systemctl", "reload", "hookhold")
    time.sleep(2)


def crash(machine, _):
    machine.must("systemctl", "kill", "--kill-whom=main", "--signal=KILL", "hookhold")
    time.sleep(4)


def delivered(app, wanted):
    end = time.monotonic() + DELIVERED_S
    while (left := wanted - app.seen.get("/app", set())) and time.monotonic() < end:
        time.sleep(0.1)
    return left


def main():
    binary, verdict = pathlib.Path(sys.argv[1]).resolve(), Verdict("systemd")
    with tempfile.TemporaryDirectory(prefix="hookhold-edge-") as name, root_on_memory(pathlib.Path(name)) as root:
        authority, app, port = Authority(pathlib.Path(name)), Application(), free_port()
        authority.issue()
        file = install(binary, root, authority, app, port)
        machine = Machine(root, pathlib.Path(name) / "boot")
        try:
            machine.must("systemctl", "start", "hookhold.socket", "hookhold.service")
            accepted = set()
            for turn, (what, failures_max) in enumerate(((restarts, 0), (reloads, 0), (crash, SENDERS))):
                with Load(port, authority.trusting(), SENDERS // 2, SENDERS // 2, PER_SECOND, first=turn * IDS_OF_A_TURN) as load:
                    time.sleep(2)
                    what(machine, file)
                accepted |= set(load.accepted)
                verdict.tell(f"{what.__name__}: {load.figures()}")
                verdict.need(sum(load.failed.values()) <= failures_max, f"senders failed: {load.failed}")
                verdict.need(load.millis(0.99) <= P99_MS, f"p99 of honest senders is over {P99_MS} ms")
            left = delivered(app, accepted)
            verdict.need(not left, f"{len(left)} events were accepted and did not come to the application")
            verdict.need(len(accepted) >= AT_LEAST, f"fewer than {AT_LEAST} events were accepted")
            # Root's commands, while the credentials are gone; the relay is another user and must be able to start again.
            machine.must("systemctl", "stop", "hookhold.socket", "hookhold.service")
            for command in (["doctor", "--rebuild-index"], ["backup", "/root/backup"]):
                machine.must("hookhold", "--config", "/etc/hookhold/relay.toml", *command)
            machine.must("systemctl", "start", "hookhold.socket", "hookhold.service")
            verdict.tell(f"{len(accepted)} events came to the application; root's doctor and backup left a store that the service opens")
        finally:
            machine.end()
    verdict.end()


main()
