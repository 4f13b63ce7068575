"""The page of a drill, in a real browser: readable, whole, and by itself."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from appliance.contract.drill import Report
from appliance.desk.assets import report_templates
from appliance.desk.reports.page import page
from tests.browser import browser
from tests.desk.drill_samples import red_report, report, rows

OPEN_ALL = "document.querySelectorAll('details').forEach(d => d.open = true)"
# For each picture: its row's id, its bars by kind, and what of it stands out of its frame, in CSS pixels.
PICTURES = """[...document.querySelectorAll('svg.timeline')].map(svg => {
  const frame = svg.viewBox.baseVal, out = [];
  for (const part of svg.querySelectorAll('rect, text, path, circle')) {
    const box = part.getBBox();
    const over = Math.max(-box.x, -box.y, box.x + box.width - frame.width, box.y + box.height - frame.height);
    if (over > 0.5) out.push(part.outerHTML.slice(0, 120) + ' by ' + over.toFixed(1));
  }
  return {
    row: svg.closest('figure').id,
    calls: svg.querySelectorAll('rect.call').length,
    asks: svg.querySelectorAll('rect.ask').length,
    faults: svg.querySelectorAll('rect.fault').length,
    edges: svg.querySelectorAll('.edge').length,
    named: svg.getAttribute('aria-labelledby').split(' ')
      .every(id => document.getElementById(id).textContent),
    seen: svg.getBoundingClientRect().width > 200,
    out,
  };
})"""
# Labels of one picture that cover one another.
COVERED = """[...document.querySelectorAll('svg.timeline')].flatMap(svg => {
  const boxes = [...svg.querySelectorAll('text')].map(t => [t.textContent, t.getBBox()]);
  return boxes.flatMap(([a, p], i) => boxes.slice(i + 1).filter(([, q]) =>
    p.x + 1 < q.x + q.width && q.x + 1 < p.x + p.width && p.y + 3 < q.y + q.height && q.y + 3 < p.y + p.height
  ).map(([b]) => svg.closest('figure').id + ': ' + a + ' | ' + b));
})"""
WIDER = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
# Words that a narrow window has squeezed into a column of letters.
SQUEEZED = """[...document.querySelectorAll('th, td, p, li, dd, figcaption')].filter(e => {
  const b = e.getBoundingClientRect();
  return b.width > 0 && b.width < 48 && b.height > 3 * b.width;
}).map(e => e.innerText.slice(0, 40))"""
VERDICT = """(() => { const e = document.getElementById('verdict'), b = e.getBoundingClientRect();
  return [e.innerText, b.top >= 0 && b.bottom <= innerHeight && b.width > 0]; })()"""
# Words that are hard to read: less than 4.5 to 1 against what lies behind them (WCAG 2, AA).
FAINT = """(() => {
  const rgb = c => c.match(/[\\d.]+/g).map(Number);
  const light = c => rgb(c).slice(0, 3).map(v => v / 255)
    .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = e => {
    const c = getComputedStyle(e).backgroundColor;
    return (rgb(c)[3] ?? 1) > 0 ? c : behind(e.parentElement);
  };
  const spoken = e => [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim());
  const words = [...document.querySelectorAll('body *:not(title, desc)')].filter(spoken);
  const faint = new Map();
  for (const e of words) {
    const style = getComputedStyle(e), ink = e instanceof SVGElement ? style.fill : style.color;
    const [a, b] = [light(ink), light(behind(e))].sort((x, y) => y - x), ratio = (a + 0.05) / (b + 0.05);
    if (ratio < 4.5) faint.set(e.tagName + '.' + (e.getAttribute('class') ?? ''), ratio.toFixed(2));
  }
  return [getComputedStyle(document.body).backgroundColor, ...[...faint].map(String)];
})()"""


@dataclass
class Seen:
    """What the browser had to say of one page."""

    requests: list[str]
    complaints: list[str]
    verdict: str
    verdict_in_view: bool
    pictures: list[dict[str, Any]]
    covered: list[str]
    squeezed: list[str]
    wider: dict[int, int]  # window's width -> how much must be scrolled sideways
    faint: dict[str, list[str]]  # scheme -> the paper's colour, then what is hard to read


async def _look(at: Path) -> Seen:
    async with browser() as window:
        await window.size(1300)
        await window.open(at)
        verdict, in_view = await window.look(VERDICT)
        await window.look(OPEN_ALL)
        pictures, covered = await window.look(PICTURES), await window.look(COVERED)
        wider, faint = {}, {"light": await window.look(FAINT)}
        for width in (1300, 768, 360):
            await window.size(width)
            wider[width] = await window.look(WIDER)
        squeezed = await window.look(SQUEEZED)
        await window.size(1300, dark=True)
        faint["dark"] = await window.look(FAINT)
        return Seen(
            window.requests, window.complaints, verdict, in_view, pictures, covered, squeezed, wider, faint
        )


def look(of: Report, folder: Path) -> Seen:
    at = folder / "report.html"
    at.write_text(page(of, report_templates()), encoding="utf-8")
    return asyncio.run(_look(at))


GREEN, RED = report(*rows(("code", "batch"))), red_report()


@pytest.fixture(scope="module", params=[GREEN, RED], ids=["green", "red"])
def seen(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Report, Seen]:
    of: Report = request.param
    return of, look(of, tmp_path_factory.mktemp("page"))


def test_the_verdict_is_the_first_thing_in_view(seen: tuple[Report, Seen]) -> None:
    of, window = seen
    assert window.verdict_in_view
    assert ("Green" in window.verdict) is of.ok
    assert ("Red" in window.verdict) is not of.ok


def test_it_asks_nothing_of_the_network_and_complains_of_nothing(seen: tuple[Report, Seen]) -> None:
    _, window = seen
    assert [url for url in window.requests if not url.startswith(("file:", "data:"))] == []
    assert len([url for url in window.requests if url.startswith("file:")]) == 1
    assert window.complaints == []


def test_every_row_has_a_picture_with_a_bar_for_each_call_and_request(seen: tuple[Report, Seen]) -> None:
    of, window = seen
    wanted = {
        f"r{place}": (sum(len(ask.calls) for ask in row.asks), len(row.asks), 1, 2)
        for place, row in enumerate(of.rows)
    }
    drawn = {p["row"]: (p["calls"], p["asks"], p["faults"], p["edges"]) for p in window.pictures}
    assert drawn == wanted
    assert len(window.pictures) == len(of.rows)


def test_nothing_stands_out_of_its_picture_and_no_words_cover_others(seen: tuple[Report, Seen]) -> None:
    _, window = seen
    assert [(p["row"], p["out"]) for p in window.pictures if p["out"]] == []
    assert window.covered == []
    assert all(p["seen"] for p in window.pictures)


def test_every_picture_has_a_title_and_a_description_for_those_who_cannot_see_it(
    seen: tuple[Report, Seen],
) -> None:
    assert all(p["named"] for p in seen[1].pictures)


def test_it_fits_a_desk_a_tablet_and_a_phone(seen: tuple[Report, Seen]) -> None:
    assert seen[1].wider == {1300: 0, 768: 0, 360: 0}
    assert seen[1].squeezed == []


def test_it_is_legible_by_day_and_dark_by_night(seen: tuple[Report, Seen]) -> None:
    (light, *by_day), (dark, *by_night) = seen[1].faint["light"], seen[1].faint["dark"]
    assert light != dark
    assert by_day == by_night == []


@pytest.mark.parametrize("hostile", ['"><img src=x onerror=alert(1)>', "</title><script>throw 1</script>"])
def test_hostile_names_run_nothing(hostile: str, tmp_path: Path) -> None:
    row = next(rows(("code",))).model_copy(
        update={"workload": hostile, "fault": hostile, "wrong": (hostile,)}
    )
    window = look(report(row, left=hostile), tmp_path)
    assert window.complaints == []
    assert [url for url in window.requests if not url.startswith(("file:", "data:"))] == []
    assert [(p["calls"], p["out"]) for p in window.pictures] == [(sum(len(a.calls) for a in row.asks), [])]
