"""The page of results, in Markdown."""

from typing import Any

SHORT = 60  # seconds of measuring one app, below which a run is called short
STEADY = 1.15  # the most over the least of the bare app, above which a machine was not quiet


def markdown(results: dict[str, Any]) -> str:
    rounds, seconds = results["rounds"], results["seconds"]
    versions = ", ".join(f"{name} {version}" for name, version in results["versions"].items())
    restless = max(_spread(results[protocol]) for protocol in ("WSGI", "ASGI"))
    noise = (
        f"**Not a quiet machine**: the bare app alone varied by {restless:.1f} times between "
        "rounds, so the requests a second decide nothing. Run it again with nothing beside it.\n\n"
        if restless > STEADY
        else ""
    )
    short = (
        "**A short run**: it proves that the benchmark works; its numbers are a first hint, and "
        "a difference of a few per cent is noise.\n\n"
        if rounds * seconds < SHORT
        else ""
    )
    return (
        "# What Fuego costs\n\n"
        "Written by `bench/compare.py`; edits are lost.\n\n"
        f"{short}{noise}"
        f"{results['date']}, {results['processor']}, a load average of "
        f"{results['load average before']} before the run; {rounds} rounds of {seconds} s, "
        "in turn and after a warm-up, a new server for each, one worker bound to one core, "
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
    for name, app in sorted(apps.items(), key=lambda item: -item[1]["ratio"]):
        shown = f"**{name}**" if name == "Fuego" else name
        span = f"{min(app['rounds']):,.0f}–{max(app['rounds']):,.0f}"  # noqa: RUF001
        lines.append(f"| {shown} | {app['requests']:,.0f} | {app['ratio']:.3f} | {span} |")
    return "\n".join(lines) + "\n"


def _spread(apps: dict[str, dict[str, Any]]) -> float:
    [bare] = (app for name, app in apps.items() if name.startswith("bare"))
    spread: float = max(bare["rounds"]) / min(bare["rounds"])
    return spread


def _in_process(measured: dict[str, Any]) -> str:
    lines = ["| call | µs |", "| --- | ---: |"]
    lines += [f"| {name} | {value:.2f} |" for name, value in measured["microseconds"].items()]
    return "\n".join(lines) + "\n"


def _targets(results: dict[str, Any]) -> str:
    lines = ["| target | measured | |", "| --- | ---: | --- |"]

    def line(target: str, measured: str, met: bool, steady: bool = True) -> None:
        verdict = ("met" if met else "**missed**") if steady else "undecided: not a quiet machine"
        lines.append(f"| {target} | {measured} | {verdict} |")

    for protocol, least in (("WSGI", 0.95), ("ASGI", 0.88)):
        apps = results[protocol]
        if "Fuego" not in apps:
            continue
        ratio, steady = apps["Fuego"]["ratio"], _spread(apps) <= STEADY
        target = f"{protocol}: at least {least} of the bare app"
        line(target, f"{ratio:.3f}", ratio >= least, steady)
        others = {
            name: app["ratio"]
            for name, app in apps.items()
            if name != "Fuego" and not name.startswith("bare")
        }
        if others:
            best = max(others, key=lambda name: others[name])
            ahead = f"{best} at {others[best]:.3f}"
            line(f"{protocol}: ahead of every framework", ahead, ratio > others[best], steady)
    measured = results["in process"]
    calls = measured["microseconds"]
    for protocol in ("WSGI", "ASGI"):
        many = calls[f"Fuego {protocol}, 1,000 routes"] / calls[f"Fuego {protocol}, 10 routes"]
        line(f"{protocol}: 1,000 routes at most 1.3 times 10", f"{many:.2f}", many <= 1.3)
    took, grew = measured["import milliseconds"], measured["import MB"]
    line("Import under 40 ms", f"{took:.1f} ms", took < 40)
    line("Import under 12 MB", f"{grew:.1f} MB", grew < 12)
    return "\n".join(lines) + "\n"
