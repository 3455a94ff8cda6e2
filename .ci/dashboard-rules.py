"""Writes the expressions of Grafana's dashboard as recording rules, for promtool to read: `dashboard-rules.py DASHBOARD > RULES`.

Variables stand for what Grafana puts in their place. Whether the metrics are there is what `cargo test --test it metrics` proves.
"""

import json
import re
import sys

VARIABLES = {"job": "hookhold", "instance": ".*", "source": ".*", "destination": ".*", "__rate_interval": "5m", "__range": "6h", "__interval": "1m"}


def filled(expression):
    return re.sub(r"\$\{?(\w+)\}?", lambda found: VARIABLES[found[1]], expression)


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        panels = json.load(file)["panels"]
    inner = [panel for outer in panels for panel in [outer, *outer.get("panels", [])]]
    found = [(panel["id"], target) for panel in inner for target in panel.get("targets", [])]
    rules = [{"record": f"dashboard:{panel}:{target['refId'].lower()}", "expr": filled(target["expr"])} for panel, target in found]
    if len(rules) < 20:
        sys.exit(f"only {len(rules)} expressions are in {sys.argv[1]}")
    # JSON is YAML.
    json.dump({"groups": [{"name": "dashboard", "rules": rules}]}, sys.stdout)


main()
