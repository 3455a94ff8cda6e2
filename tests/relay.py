"""A start of the real binary, for the scripts in the folders beside this file. Nothing but Python's own library."""

import pathlib
import subprocess
import threading

# From a start to ready: milliseconds, but the machine may be busy.
START_S = 30


def start(binary, folder):
    """Runs the relay of `folder`'s relay.toml, with its log in the file `log` there. Gives the process, and where it says that it takes
    webhooks and calls of the admin API."""
    command = [str(pathlib.Path(binary).resolve()), "--config", "relay.toml", "serve"]
    with open(folder / "log", "w") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=log, text=True)
    watchdog = threading.Timer(START_S, process.kill)
    watchdog.start()
    found = {}
    for line in process.stdout:
        word, _, value = line.strip().partition(" ")
        found[word] = value.strip()
        if "webhooks" in found and "admin" in found:
            break
    else:
        raise SystemExit("the relay did not start:\n" + (folder / "log").read_text())
    watchdog.cancel()
    # What it says further is not read here, and must not hold it up.
    threading.Thread(target=lambda: [None for _ in process.stdout], daemon=True).start()
    return process, found["webhooks"], found["admin"]
