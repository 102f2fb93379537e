"""The plot of results, as SVG without a library: bars, their order and the first number are what an
app keeps of the bare one's requests.
"""

from typing import Any
from xml.sax.saxutils import escape

ROW, BAR, LEFT, WIDTH, SCALE = 26, 18, 110, 720, 420
STYLE = """
  text { font: 13px sans-serif; fill: #1f2328 }
  .title { font-weight: bold }
  .bare { fill: #8c959f } .fuego { fill: #d1480c } .other { fill: #6ea3d8 }
  .page { fill: #ffffff }
  @media (prefers-color-scheme: dark) { text { fill: #e6edf3 } .page { fill: #0d1117 } }
"""


def svg(results: dict[str, Any]) -> str:
    """A bar for each app."""
    parts: list[str] = []
    top = 10
    for protocol in ("WSGI", "ASGI"):
        title = f"{protocol}: of the bare app's requests"
        parts.append(f'<text class="title" x="10" y="{top + 16}">{title}</text>')
        top += ROW
        apps = sorted(results[protocol].items(), key=lambda item: -item[1]["ratio"])
        for name, app in apps:
            parts.append(_bar(name, app, app["ratio"] * SCALE, top))
            top += ROW
        top += ROW // 2
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {top}" '
        f'width="{WIDTH}" height="{top}" role="img">\n'
        "<title>Requests, of those of the bare app</title>\n"
        f"<style>{STYLE}</style>\n"
        f'<rect class="page" width="{WIDTH}" height="{top}"/>\n' + "\n".join(parts) + "\n</svg>\n"
    )


def _bar(name: str, app: dict[str, Any], width: float, top: int) -> str:
    kind = "bare" if name.startswith("bare") else "fuego" if name == "Fuego" else "other"
    label = f"{app['ratio']:.2f} ({app['requests']:,.0f} a second)"
    middle = top + 14
    return (
        f'<text x="10" y="{middle}">{escape(name)}</text>'
        f'<rect class="{kind}" x="{LEFT}" y="{top}" width="{width:.1f}" height="{BAR}"/>'
        f'<text x="{LEFT + width + 8:.1f}" y="{middle}">{label}</text>'
    )
