"""The report of a restore, or of its drill, as one page that needs nothing else. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from appliance.contract.restore_report import RestoreReport, Step
from appliance.desk.render_page import render_page
from appliance.desk.reports import words


@dataclass(frozen=True)
class Row:
    step: Step
    share: float  # percent of the longest of its kind, for its bar


def rows(steps: Sequence[Step]) -> tuple[Row, ...]:
    """Parts are measured against parts: the step around them is as long as all of its own."""
    longest = {
        depth: max((s.seconds or 0.0) for s in steps if s.depth == depth)
        for depth in {s.depth for s in steps}
    }
    return tuple(Row(s, 100 * (s.seconds or 0.0) / (longest[s.depth] or 1.0)) for s in steps)


def span(seconds: float) -> str:
    """42.4 -> "42.4 s", 3700 -> "1 h 1 min", 90 -> "1 min 30 s"."""
    if seconds < 60:
        return words.seconds(max(0.0, seconds))
    minutes, rest = divmod(int(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours < 48 else f"{hours // 24} days"


def page(report: RestoreReport, templates: Mapping[str, str]) -> str:
    """HTML. `templates` are assets.report_templates()."""
    values = {"report": report, "rows": rows(report.steps)}
    return render_page("restore.html.j2", templates, values, {"legible": words.legible, "span": span})
