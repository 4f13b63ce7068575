"""OpenClaw's own fallback before the drill's fault proxy: as a user would set it up, and without retries."""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from appliance.contract.drill import Kind
from appliance.desk.remote import Shell
from appliance.node.faults import FAULTS
from appliance.node.faults.fault import Costs, Rule
from tests.e2e.openclaw import Answer, OpenClaw, provider, second_openclaw

OWN, BARE = "own", "bare"  # OpenClaw's default retries; maxRetries 0
HEALTHY = "healthy"
# What OpenClaw tries again for a minute and more. It waits meanwhile, so these are asked side by side; all
# others alone, so that their times are honest.
AGAIN = {
    "refused", "reset", "dns", "tls", "cut-before-content", "cut-after-content", "429", "429-retry-after",
    "500", "502", "503", "504", "529", "html", "empty", "error-in-band", "error-after-content",
}  # fmt: skip
FIRST = ("429", "429-retry-after", "hang", "comments-only")  # they wait longest: not left over at the end
AT_ONCE = 8  # what the gateway takes
PROVIDER_TIMEOUT = 20  # seconds, far below OpenClaw's default: as in the first measurement
HEALTHY_ASKS = 5
PLACE, UNIT = "/var/tmp/tried-stand", "tried-stand"
BOUND_SECONDS = 1500
MODEL = "large"
LAST_WORD = "umbrella"  # the vendors repeat what they hear: an answer with it is whole
QUESTION = f"Which vendor are you? Say it all, to the last word: {LAST_WORD}"


@dataclass(frozen=True)
class Vendor:
    name: str
    base_url: str
    key: str


@dataclass(frozen=True)
class Outcome:
    """How a row ended. `who`: primary, fallback, both, nobody."""

    seconds: float
    who: str
    status: int
    told: str
    right: bool


Columns = dict[str, dict[str, Outcome]]


def faults() -> list[str]:
    """Those that OpenClaw can meet: it always asks for streams."""
    known = [name for name, fault in FAULTS.items() if fault.meaning(Kind.STREAM)]
    return [name for name in FIRST if name in known] + [name for name in known if name not in FIRST]


def waits(column: str, row: str) -> bool:
    meaning = None if row == HEALTHY else FAULTS[row].meaning(Kind.STREAM)
    silent = meaning is not None and meaning.costs in (Costs.CONNECT, Costs.SILENCE, Costs.GAP)
    return silent or (column == OWN and row in AGAIN)


def judged(row: str, answer: Answer, vendors: Sequence[Vendor]) -> Outcome:
    """A client without a stream: it wants one whole answer, or its own error back."""
    whole = answer.status == 200 and not answer.error and LAST_WORD in answer.text
    places = zip(("primary", "fallback"), vendors, strict=True)
    givers = [place for place, vendor in places if f"{vendor.name}/" in answer.text]
    who = "both" if len(givers) > 1 else givers[0] if givers and whole else "nobody"
    meaning = None if row == HEALTHY else FAULTS[row].meaning(Kind.STREAM)
    match meaning.rule if meaning else Rule.PRIMARY:
        case Rule.PRIMARY:
            right = who == "primary"
        case Rule.CLIENTS_OWN | Rule.CONTEXT:  # both windows are as large
            right = who == "nobody" and answer.status == 400
        case _:
            right = who == "fallback"
    return Outcome(answer.seconds, who, answer.status, answer.error[:120], right)


def openclaw_columns(shell: Shell, vendors: Sequence[Vendor]) -> Columns:
    """Both columns, by row; `vendors` are the primary and the fallback."""
    rows = [HEALTHY, *faults()]
    lanes = {f"{column}-{row}": "" if row == HEALTHY else row for column in (OWN, BARE) for row in rows}
    with _standing(shell, lanes, vendors) as urls:
        providers = {
            f"{lane}-{place}": provider(url, [MODEL], PROVIDER_TIMEOUT, vendor.key)
            for lane, pair in urls.items()
            for place, url, vendor in zip("ab", pair, vendors, strict=True)
        }
        chains = {
            lane: {"primary": f"{lane}-a/{MODEL}", "fallbacks": [f"{lane}-b/{MODEL}"]} for lane in lanes
        }
        agents = {"main": {}, **{lane: {"model": chain} for lane, chain in chains.items()}}
        patient = [lane for lane in lanes if lane.startswith(f"{OWN}-")]
        with second_openclaw(shell, providers, agents, patient, BOUND_SECONDS) as openclaw:
            return _measured(openclaw, rows, vendors)


def _measured(openclaw: OpenClaw, rows: Sequence[str], vendors: Sequence[Vendor]) -> Columns:
    """First what is soon answered, each alone; then what waits."""
    found: Columns = {OWN: {}, BARE: {}}
    all_rows = [(column, row) for column in found for row in rows]
    _asked(openclaw, "main", HEALTHY, vendors)

    def one(column: str, row: str) -> None:
        outcome = _asked(openclaw, f"{column}-{row}", row, vendors)
        found[column][row] = outcome
        verdict = "right" if outcome.right else "WRONG"
        sys.stdout.write(
            f"{column:5} {row:20} {outcome.seconds:7.2f} s {outcome.who:9} {verdict} {outcome.told}\n"
        )
        sys.stdout.flush()

    for column, row in all_rows:
        if not waits(column, row):
            one(column, row)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        waiting = [pool.submit(one, column, row) for column, row in all_rows if waits(column, row)]
        for done in as_completed(waiting):
            done.result()
    return found


def _asked(openclaw: OpenClaw, agent: str, row: str, vendors: Sequence[Vendor]) -> Outcome:
    """The agent is awake before: OpenClaw takes about 2 s to change from one to another."""
    awake = {"agent": agent, "header": f"{BARE}-{HEALTHY}-a/{MODEL}"}
    asks = [{"ask": {"agent": agent, "text": QUESTION}}] * (HEALTHY_ASKS if row == HEALTHY else 1)
    ((_, *answers),) = openclaw.run({"provider": "none", "steps": [{"ask": awake}, *asks]})
    outcomes = [judged(row, answer, vendors) for answer in answers]
    return replace(outcomes[-1], seconds=statistics.median(one.seconds for one in outcomes))


@contextmanager
def _standing(
    shell: Shell, lanes: Mapping[str, str], vendors: Sequence[Vendor]
) -> Iterator[dict[str, list[str]]]:
    """The drill's fault proxy: its addresses by lane. It holds no key, OpenClaw brings them."""
    told = [{"name": one.name, "api": "openai", "base_url": one.base_url} for one in vendors]
    files = {
        "wanted.json": json.dumps({"lanes": lanes, "providers": told}),
        "stand.py": Path(__file__).with_name("stand.py").read_text(),
    }
    _clear(shell)
    shell.check(["install", "-d", "-o", "nobody", PLACE])
    for name, content in files.items():
        shell.check(["install", "-m", "0444", "/dev/stdin", f"{PLACE}/{name}"], input=content.encode())
    properties = (f"RuntimeMaxSec={BOUND_SECONDS}", "User=nobody", "TimeoutStopSec=3")
    program = ["env", "PYTHONPATH=/usr/lib/appliance", "python3", "-B", f"{PLACE}/stand.py", PLACE]
    words = [f"--property={one}" for one in properties]
    try:
        shell.check(["systemd-run", f"--unit={UNIT}", "--collect", "--quiet", *words, "--", *program])
        wait = f"for i in $(seq 150); do test -e {PLACE}/lanes.json && exit 0; sleep .1; done; exit 1"
        shell.check(["sh", "-c", wait])
        yield json.loads(shell.check(["cat", f"{PLACE}/lanes.json"]))
    finally:
        _clear(shell)


def _clear(shell: Shell) -> None:
    shell.run(["systemctl", "stop", "--quiet", f"{UNIT}.service"])
    shell.check(["rm", "-rf", "--", PLACE])


def as_data(columns: Columns) -> dict[str, dict[str, Any]]:
    return {column: {row: vars(one) for row, one in found.items()} for column, found in columns.items()}
