"""The page of results, in Markdown."""

from typing import Any

SHORT = 30  # seconds of measuring one app, below which a run is called short


def markdown(results: dict[str, Any]) -> str:
    rounds, bursts, seconds = results["rounds"], results["bursts"], results["seconds"]
    versions = ", ".join(f"{name} {version}" for name, version in results["versions"].items())
    short = (
        "**A short run**: it proves that the benchmark works; its numbers are a first hint, and "
        "a difference of a few per cent is noise.\n\n"
        if rounds * bursts * seconds < SHORT
        else ""
    )
    return (
        "# What Fuego costs\n\n"
        "Written by `bench/compare.py`; edits are lost.\n\n"
        f"{short}"
        f"{results['date']}, {results['processor']}, a load average of "
        f"{results['load average before']} before the run; {rounds} rounds of {bursts} bursts "
        f"of {seconds} s, each app in turn, new servers for each round, one worker bound to one "
        f"core, {results['connections']} connections of wrk from the other cores, over loopback. "
        "WSGI through gunicorn's gthread with 4 threads, ASGI through uvicorn with uvloop and "
        "httptools. Each app answers JSON from an integer in the path. Medians; the ratio is "
        "that to the bare app of the same turn, with the interval that holds it with 95 % "
        "confidence. µs is what the server's processes used of a processor for a request, which "
        "other load on the machine moves less.\n\n"
        f"{versions}.\n\n"
        "![Requests, of those of the bare app](results.svg)\n\n"
        f"{_table('WSGI', results['WSGI'])}\n{_table('ASGI', results['ASGI'])}\n"
        "## Without a server\n\n"
        f"{_in_process(results['in process'])}\n"
        f"## Targets\n\n{_targets(results)}"
    )


def _table(title: str, apps: dict[str, dict[str, Any]]) -> str:
    lines = [
        f"## {title}\n",
        "| app | requests/s | of the bare app | 95 % | µs |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for name, app in sorted(apps.items(), key=lambda item: -item[1]["ratio"]):
        shown = f"**{name}**" if name == "Fuego" else name
        least, most = app["between"]
        lines.append(
            f"| {shown} | {app['requests']:,.0f} | {app['ratio']:.3f} | {least:.3f} to {most:.3f} "
            f"| {app['microseconds']:.1f} |"
        )
    return "\n".join(lines) + "\n"


def _in_process(measured: dict[str, Any]) -> str:
    lines = ["| call | µs |", "| --- | ---: |"]
    lines += [f"| {name} | {value:.2f} |" for name, value in measured["microseconds"].items()]
    return "\n".join(lines) + "\n"


def _targets(results: dict[str, Any]) -> str:
    lines = ["| target | measured | |", "| --- | ---: | --- |"]

    def line(target: str, measured: str, verdict: str) -> None:
        lines.append(f"| {target} | {measured} | {verdict} |")

    for protocol, least in (("WSGI", 0.95), ("ASGI", 0.88)):
        fuego, best = results[protocol].get("Fuego"), results["best other"][protocol]
        if fuego:
            target = f"{protocol}: at least {least} of the bare app"
            line(target, f"{fuego['ratio']:.3f}", _verdict(fuego, least))
        if best:
            ahead = f"{best['ratio']:.3f} of {best['name']}"
            line(f"{protocol}: ahead of every framework", ahead, _verdict(best, 1))
    measured = results["in process"]
    calls = measured["microseconds"]
    for protocol in ("WSGI", "ASGI"):
        many = calls[f"Fuego {protocol}, 1,000 routes"] / calls[f"Fuego {protocol}, 10 routes"]
        line(f"{protocol}: 1,000 routes at most 1.3 times 10", f"{many:.2f}", _met(many <= 1.3))
    took, grew = measured["import milliseconds"], measured["import MB"]
    line("Import under 40 ms", f"{took:.1f} ms", _met(took < 40))
    line("Import under 12 MB", f"{grew:.1f} MB", _met(grew < 12))
    return "\n".join(lines) + "\n"


def _verdict(ratio: dict[str, Any], least: float) -> str:
    low, high = ratio["between"]
    if low < least <= high:
        return f"{_met(ratio['ratio'] >= least)}, within the noise ({low:.3f} to {high:.3f})"
    return _met(ratio["ratio"] >= least)


def _met(met: bool) -> str:
    return "met" if met else "**missed**"
