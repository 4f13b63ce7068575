"""Seconds to the right answer for every fault: ours beside OpenClaw's own fallback, on one node in one run.

    sudo .venv/bin/python -m tests.bench providers            # a lab of its own
    sudo .venv/bin/python -m tests.bench.providers FOLDER     # where an appliance is deployed already

The faults are the drill's. Ours: its first ask of a stream at the router, and of a whole answer through edge
and gateway, in a workload that holds its answers. OpenClaw's: a whole answer of a gateway without our router.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from appliance.contract.drill import Kind, Level, Report, Row
from tests.bench.openclaw_own import (
    BARE,
    HEALTHY,
    OWN,
    PROVIDER_TIMEOUT,
    Columns,
    Outcome,
    Vendor,
    as_data,
    faults,
    openclaw_columns,
)
from tests.e2e.conftest import Desk, Node, node_shell

WORKLOAD = "held"
FIGURES = "providers.json"  # in the appliance's folder
ASKED = {Level.ROUTER: Kind.STREAM, Level.GATEWAY: Kind.WHOLE}


@dataclass(frozen=True)
class Line:
    """Seconds; None: not measured. A wrong outcome counts as no answer, however soon it came."""

    fault: str
    healthy: float | None
    router: float | None
    gateway: float | None
    own: Outcome
    bare: Outcome
    wrong: tuple[str, ...]

    @property
    def ratio(self) -> float | None:
        return self.own.seconds / self.gateway if self.gateway and self.own.right else None


def hold_answers(folder: Path) -> None:
    """A workload as the first one, that holds: the fallback answers in the midst of an answer too."""
    file = folder / "appliance.yaml"
    content: dict[str, Any] = yaml.safe_load(file.read_text())
    first = next(iter(content["workloads"].values()))
    content["workloads"][WORKLOAD] = {**first, "mode": "hold"}
    file.write_text(yaml.safe_dump(content, sort_keys=False))


def measured(node: Node) -> tuple[Columns, Report]:
    folder, config = node.desk.folder, node.config()
    workload = config["workloads"][WORKLOAD]
    names = [str(workload[place]).split("/")[0] for place in ("primary", "fallback")]
    vendors = []
    for name in names:
        at = config["providers"][name]
        key = (folder / str(at["key"]).removeprefix("file:")).read_text().strip()
        vendors.append(Vendor(name, str(at["base_url"]), key))
    with node_shell(node) as shell:
        columns = openclaw_columns(shell, vendors)
    drilled = node.desk.tries("drill", "providers", "--workload", WORKLOAD, "--json")
    facts = json.loads(drilled.out)
    facts.pop("ok", None)
    return columns, Report.model_validate(facts)


def lines(columns: Columns, report: Report) -> list[Line]:
    rows = {(row.fault, row.level): row for row in report.rows if row.kind is ASKED[row.level]}
    found = []
    for fault in faults():
        ours: Mapping[Level, Row | None] = {level: rows.get((fault, level)) for level in Level}
        seconds = {level: row.asks[0].seconds if row else None for level, row in ours.items()}
        gateway = ours[Level.GATEWAY]
        wrong = tuple(word for row in ours.values() if row for word in row.wrong)
        found.append(
            Line(
                fault,
                gateway.healthy if gateway else None,
                seconds[Level.ROUTER],
                seconds[Level.GATEWAY],
                columns[OWN][fault],
                columns[BARE][fault],
                wrong,
            )
        )
    return found


def table(columns: Columns, report: Report) -> str:
    heads = ("healthy", "router", "gateway", "OpenClaw", "maxRetries 0", "ratio")
    said = [f"{'fault':20}" + "".join(f"{head:>15}" for head in heads)]
    for line in lines(columns, report):
        cells = [_seconds(one) for one in (line.healthy, line.router, line.gateway)]
        cells += [_outcome(line.own), _outcome(line.bare), f"{line.ratio:.0f}x" if line.ratio else ""]
        wrong = f"  ours was wrong: {'; '.join(line.wrong)}" if line.wrong else ""
        said.append(f"{line.fault:20}" + "".join(f"{cell:>15}" for cell in cells) + wrong)
    healthy = ", ".join(f"{column} {columns[column][HEALTHY].seconds:.2f} s" for column in (OWN, BARE))
    notes = (
        f"OpenClaw, healthy: {healthy}; provider timeout {PROVIDER_TIMEOUT} s. !: not the right outcome.",
        "What is silent waits for a deadline: ours for hedge, connect or between of appliance.yaml.",
    )
    return "\n".join([*said, *notes])


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _outcome(outcome: Outcome) -> str:
    return f"{outcome.seconds:.2f}" if outcome.right else f"! {outcome.status} {outcome.seconds:.1f}"


def show(node: Node) -> None:
    begun = time.monotonic()
    columns, report = measured(node)
    figures = {"openclaw": as_data(columns), "ours": report.model_dump(mode="json")}
    (node.desk.folder / FIGURES).write_text(json.dumps(figures, indent=1))
    sys.stdout.write(f"\n{table(columns, report)}\n{time.monotonic() - begun:.0f} s in all\n")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    desk = Desk(folder, os.environ | {"NO_COLOR": "1"})
    address = desk.does("status", "--json").json["nodes"][0]["address"]
    show(Node(desk, address))


if __name__ == "__main__":
    main()
