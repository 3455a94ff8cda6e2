"""testssl.sh against a relay: which versions and ciphers it speaks, what it shows, and all attacks that testssl.sh knows.

    python3 grade.py path/to/hookhold

Nothing that it finds may be worse than LOW, unless it is told here why it does not matter. Its grade counts where it gives one (from
its version 3.2 on).
"""

import json
import os
import subprocess
import sys
import time

from verdict import Verdict
from world import HOST, world

# Protocols, ciphers, forward secrecy, what is shown, HTTP headers, vulnerabilities; not: simulated browsers.
CHECKS = ["-p", "-s", "-f", "-S", "-h", "-U"]
# On a calm machine it takes a minute.
TIME_S = 1200
# WARN says that something could not be tested; what must be is in ASKED.
HARMLESS = {"OK", "INFO", "LOW", "WARN"}
# What does not matter, and why.
EXPLAINED = {
    "security_headers": "they are for browsers, and no page is shown by listeners of webhooks",
}
GRADES = {"A", "A+"}
# Each must be among the findings, so that a run that tested nothing fails.
ASKED = {"SSLv3": "not offered", "TLS1": "not offered", "TLS1_1": "not offered", "TLS1_2": "offered", "TLS1_3": "offered",
         "heartbleed": "not vulnerable", "ROBOT": "not vulnerable", "SWEET32": "not vulnerable"}


def examine(relay, authority):
    """What it finds."""
    file = relay.folder / "findings.json"
    command = [os.environ.get("TESTSSL", "testssl"), *CHECKS, "--add-ca", str(authority.file), "--ip", "127.0.0.1", "--nodns", "none",
               "--warnings", "off", "--color", "0", "--jsonfile", str(file), f"{HOST}:{relay.port}"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=TIME_S)
    if not file.exists():
        raise SystemExit(f"testssl.sh found nothing, and ended with {done.returncode}:\n{done.stdout[-3000:]}")
    return json.loads(file.read_text())


def main():
    verdict, start = Verdict("grade"), time.monotonic()
    with world(sys.argv[1]) as (relay, authority):
        findings = examine(relay, authority)
    said = {finding["id"]: finding["finding"] for finding in findings}
    for check, wanted in ASKED.items():
        verdict.need(said.get(check, "nothing").startswith(wanted), f"{check}: {said.get(check, 'not tested')}")
    verdict.need(said.get("cert_chain_of_trust") == "passed.", f"the chain is not trusted: {said.get('cert_chain_of_trust')}")
    for finding in findings:
        holds = finding["severity"] in HARMLESS or finding["id"] in EXPLAINED
        verdict.need(holds, f"{finding['severity']}: {finding['id']}: {finding['finding']}")
    low = sorted(finding["id"] for finding in findings if finding["severity"] == "LOW")
    verdict.tell(f"{len(findings)} findings, low ones: {', '.join(low) or 'none'}")
    if grade := said.get("overall_grade"):
        verdict.need(grade in GRADES, f"the grade is {grade}")
        verdict.tell(f"grade {grade}")
    verdict.tell(f"{time.monotonic() - start:.0f} s")
    verdict.end()


main()
