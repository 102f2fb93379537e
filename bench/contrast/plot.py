"""Requests that failed, by the second: a strip for each way, as SVG without a library."""

from __future__ import annotations

from dataclasses import dataclass
from xml.sax.saxutils import escape

from traffic import Report

LEFT, TOP, WIDTH, STRIP, GAP, SECOND = 16, 44, 860, 54, 34, 9
STYLE = """
  text { font: 13px sans-serif; fill: #1f2328 }
  .title { font-weight: bold }
  .failed { fill: #d1480c } .axis { stroke: #8c959f } .page { fill: #ffffff }
  @media (prefers-color-scheme: dark) { text { fill: #e6edf3 } .page { fill: #0d1117 } }
"""


@dataclass(frozen=True, slots=True)
class Row:
    """What one way did, with one server. `took` is in seconds."""

    server: str
    way: str
    report: Report
    took: float


def svg(rows: list[Row]) -> str:
    """A bar for each second in which something failed, to one scale in all strips."""
    most = max([1, *(second.failures for row in rows for second in row.report.timeline)])
    longest = max(len(row.report.timeline) for row in rows)
    step = min(SECOND, (WIDTH - 2 * LEFT) / longest)
    parts = [f'<text class="title" x="{LEFT}" y="24">Requests that failed, by the second</text>']
    for number, row in enumerate(rows):
        top = TOP + number * (STRIP + GAP)
        ground = top + GAP + STRIP - 16
        lost = f"{row.report.failed:,} of {row.report.requests:,} failed"
        parts.append(
            f'<text x="{LEFT}" y="{top + 12}">{escape(f"{row.server}, {row.way}: {lost}")}</text>'
        )
        for second in row.report.timeline:
            tall = second.failures / most * (STRIP - 4)
            if tall:
                left = LEFT + second.second * step
                parts.append(
                    f'<rect class="failed" x="{left:.1f}" y="{ground - tall:.1f}" '
                    f'width="{max(step - 1, 1):.1f}" height="{tall:.1f}"/>'
                )
        end = LEFT + len(row.report.timeline) * step
        parts.append(f'<line class="axis" x1="{LEFT}" y1="{ground}" x2="{end:.1f}" y2="{ground}"/>')
    height = TOP + len(rows) * (STRIP + GAP) + 8
    legend = f"{longest} s across at most; the highest bar is {most:,} in a second"
    parts.append(f'<text x="{LEFT}" y="{height - 4}">{legend}</text>')
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" '
        f'height="{height}" role="img">\n<title>Requests that failed, by the second</title>\n'
        f'<style>{STYLE}</style>\n<rect class="page" width="{WIDTH}" height="{height}"/>\n'
        + "\n".join(parts)
        + "\n</svg>\n"
    )
