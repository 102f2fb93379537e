"""The page of results, in Markdown."""

from typing import Any

SHORT = 60  # seconds of measuring one app, below which a run is called short


def markdown(results: dict[str, Any]) -> str:
    rounds, seconds = results["rounds"], results["seconds"]
    versions = ", ".join(f"{name} {version}" for name, version in results["versions"].items())
    short = (
        "**A short run**: it proves that the benchmark works; its numbers are a first hint, and "
        "a difference of a few per cent is noise.\n\n"
        if rounds * seconds < SHORT
        else ""
    )
    return (
        "# What Fuego costs\n\n"
        "Written by `bench/compare.py`; edits are lost.\n\n"
        f"{short}"
        f"{results['date']}, {results['processor']}; {rounds} rounds of {seconds} s, in turn and "
        "after a warm-up, a new server for each, one worker bound to one core, "
        f"{results['connections']} connections of wrk from the other cores, over loopback. WSGI "
        "through gunicorn's gthread with 4 threads, ASGI through uvicorn with uvloop and "
        "httptools. Each app answers JSON from an integer in the path. Medians; the ratio is "
        "the median of each round's ratio to the bare app.\n\n"
        f"{versions}.\n\n"
        "![Requests a second](results.svg)\n\n"
        f"{_table('WSGI', results['WSGI'])}\n{_table('ASGI', results['ASGI'])}\n"
        "## Without a server\n\n"
        f"{_in_process(results['in process'])}\n"
        f"## Targets\n\n{_targets(results)}"
    )


def _table(title: str, apps: dict[str, dict[str, Any]]) -> str:
    lines = [
        f"## {title}\n",
        "| app | requests/s | of the bare app | least and most |",
        "| --- | ---: | ---: | ---: |",
    ]
    for name, app in sorted(apps.items(), key=lambda item: -item[1]["requests"]):
        shown = f"**{name}**" if name == "Fuego" else name
        span = f"{min(app['rounds']):,.0f}–{max(app['rounds']):,.0f}"  # noqa: RUF001
        lines.append(f"| {shown} | {app['requests']:,.0f} | {app['ratio']:.3f} | {span} |")
    return "\n".join(lines) + "\n"


def _in_process(measured: dict[str, Any]) -> str:
    lines = ["| call | µs |", "| --- | ---: |"]
    lines += [f"| {name} | {value:.2f} |" for name, value in measured["microseconds"].items()]
    return "\n".join(lines) + "\n"


def _targets(results: dict[str, Any]) -> str:
    lines = ["| target | measured | |", "| --- | ---: | --- |"]

    def line(target: str, measured: str, met: bool) -> None:
        lines.append(f"| {target} | {measured} | {'met' if met else '**missed**'} |")

    for protocol, least in (("WSGI", 0.95), ("ASGI", 0.88)):
        apps = results[protocol]
        if "Fuego" not in apps:
            continue
        ratio = apps["Fuego"]["ratio"]
        line(f"{protocol}: at least {least} of the bare app", f"{ratio:.3f}", ratio >= least)
        others = {
            name: app["ratio"]
            for name, app in apps.items()
            if name != "Fuego" and not name.startswith("bare")
        }
        if others:
            best = max(others, key=lambda name: others[name])
            ahead = f"{best} at {others[best]:.3f}"
            line(f"{protocol}: ahead of every framework", ahead, ratio > others[best])
    measured = results["in process"]
    calls = measured["microseconds"]
    for protocol in ("WSGI", "ASGI"):
        many = calls[f"Fuego {protocol}, 1,000 routes"] / calls[f"Fuego {protocol}, 10 routes"]
        line(f"{protocol}: 1,000 routes at most 1.3 times 10", f"{many:.2f}", many <= 1.3)
    took, grew = measured["import milliseconds"], measured["import MB"]
    line("Import under 40 ms", f"{took:.1f} ms", took < 40)
    line("Import under 12 MB", f"{grew:.1f} MB", grew < 12)
    return "\n".join(lines) + "\n"
