"""The page of the matrix and its plot, as SVG without a library."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from statistics import median
from xml.sax.saxutils import escape

from pairs import ROOT, SERVERS, Figures, Pair

Results = dict[Pair, Figures]
LEFT, TOP, WIDTH, HEIGHT = 110, 40, 104, 30
STYLE = """
  text { font: 13px sans-serif; fill: #1f2328 } .title { font-weight: bold }
  .cell { fill: #d1480c } .page { fill: #ffffff }
  @media (prefers-color-scheme: dark) { text { fill: #e6edf3 } .page { fill: #0d1117 } }
"""


def markdown(results: Results, rounds: int, load: float) -> str:
    """The page."""
    lines = [
        "# Every framework on every server",
        "",
        "Written by `make matrix`; edits are lost. What each is for stands in "
        "[choosing.md](choosing.md).",
        "",
        f"{time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores that the client, nginx and the app "
        f"share, a load average of {load:.1f} before. Each pair was deployed as `site.yml` deploys "
        f"it, with one worker, and measured alone: {rounds} rounds in turn, medians. An app "
        "answers JSON from an integer in the path. **The figures are ratios of this one run**: "
        "another machine has others, and a difference of some per cent is noise.",
        "",
        f"{', '.join(versions())}.",
        "",
        "![Requests a second through nginx](matrix.svg)",
    ]
    for protocol in ("WSGI", "ASGI"):
        chosen = {pair: found for pair, found in results.items() if pair.protocol == protocol}
        if chosen:
            lines += ["", f"## {protocol}", "", *table(chosen)]
    lines += [
        "",
        "\\* over the uwsgi protocol, which no client speaks, so there is no figure past nginx; "
        "its start is until it tells systemd that it is ready, that of the others until the first "
        "answer. MB are the worker's and its parent's, shared pages in proportion (Pss).",
        "",
    ]
    return "\n".join(lines)


def table(results: Results) -> Iterator[str]:
    """The rows, the fastest through nginx first; ratios are to the fastest of all."""
    yield (
        "| framework | server | through nginx | ratio | p50 | p99 | past nginx | p50 | p99 | MB "
        "| start |"
    )
    yield "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
    most = max(rate(found) for found in results.values())
    for pair, found in sorted(results.items(), key=lambda item: -rate(item[1])):
        past = (
            f"{middle(found, 'past', 0):,.0f} | {middle(found, 'past', 1):.1f} ms | "
            f"{middle(found, 'past', 2):.1f} ms"
            if found.past
            else "\\* | | "
        )
        yield (
            f"| {pair.framework} | {pair.server} | {rate(found):,.0f} | {rate(found) / most:.2f} | "
            f"{middle(found, 'through', 1):.1f} ms | {middle(found, 'through', 2):.1f} ms | {past} "
            f"| {median(found.memory) / 1e6:.0f} | {median(found.starts):.2f} s |"
        )


def middle(found: Figures, way: str, number: int) -> float:
    """The median over the rounds of one figure."""
    rows = found.past if way == "past" else found.through
    return median(row[number] for row in rows)


def rate(found: Figures) -> float:
    """Requests a second through nginx."""
    return middle(found, "through", 0)


def versions() -> list[str]:
    """What the apps' own pins and the servers' give, of which the apps' win."""
    pins: dict[str, str] = {}
    files = [
        *sorted((ROOT / "roles/app/servers").glob("*.txt")),
        ROOT / "fuego/bench/requirements.txt",
    ]
    for file in files:
        pins |= dict(re.findall(r"^([\w-]+)==([\w.]+)", file.read_text(), flags=re.MULTILINE))
    names = ("gunicorn", "gevent", "uvicorn", "uvicorn-worker", "hypercorn", "daphne", "granian",
             "pyuwsgi", "falcon", "bottle", "flask", "django", "starlette", "blacksheep",
             "fastapi")  # fmt: skip
    return [f"{name} {pins[name]}" for name in names if name in pins]


def svg(results: Results) -> str:
    """A cell for each pair: the stronger its colour, the more requests through nginx."""
    parts: list[str] = []
    top = 10
    for protocol in ("WSGI", "ASGI"):
        chosen = {pair: found for pair, found in results.items() if pair.protocol == protocol}
        if not chosen:
            continue
        servers = [name for name in SERVERS if any(pair.server == name for pair in chosen)]
        frameworks = list(dict.fromkeys(pair.framework for pair in chosen))
        most = max(map(rate, chosen.values()))
        parts.append(f'<text class="title" x="10" y="{top + 16}">{protocol}</text>')
        for column, server in enumerate(servers):
            x = LEFT + column * WIDTH
            parts.append(
                f'<text x="{x}" y="{top + 16}">{server.replace("gunicorn-", "g.-")}</text>'
            )
        for row, framework in enumerate(frameworks):
            y = top + TOP - 14 + row * HEIGHT
            parts.append(f'<text x="10" y="{y + 19}">{escape(framework)}</text>')
            for pair, found in chosen.items():
                if pair.framework == framework:
                    x = LEFT + servers.index(pair.server) * WIDTH
                    share = rate(found) / most
                    parts.append(
                        f'<rect class="cell" x="{x}" y="{y}" width="{WIDTH - 4}" '
                        f'height="{HEIGHT - 4}" rx="3" fill-opacity="{share:.2f}"/>'
                        f'<text x="{x + 8}" y="{y + 18}">{rate(found):,.0f}</text>'
                    )
        top += TOP + len(frameworks) * HEIGHT + 10
    width = LEFT + 7 * WIDTH
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {top}" width="{width}" '
        f'height="{top}" role="img">\n<title>Requests a second through nginx</title>\n'
        f'<style>{STYLE}</style>\n<rect class="page" width="{width}" height="{top}"/>\n'
        + "\n".join(parts)
        + "\n</svg>\n"
    )
