"""Keep asking a site through its balancers, and count every request that is lost.

Asks what apps/hello answers, at a set rate, with clients of several kinds at once, until SIGTERM,
the stop file or the limit. The report is JSON, with a timeline by the second; a summary goes to
stderr. Exits with 1 when a request failed.
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import signal
import sys
from contextlib import suppress
from pathlib import Path

from traffic.clients import PACED, Client, Clients, Plan, endpoint
from traffic.recorder import Recorder
from traffic.report import Report

RUNNING = "running"
"""The line on stderr once every kind of client was answered."""


def balancer(text: str) -> str:
    """Check an argument."""
    try:
        endpoint(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    plan = Plan("", ())
    found = argparse.ArgumentParser(
        prog="python -m traffic",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    found.add_argument("site", help="the Host header, such as hello.localhost")
    found.add_argument("balancers", nargs="+", type=balancer, metavar="address:port")
    found.add_argument(
        "--rate",
        type=float,
        default=plan.rate,
        help=f"requests a second, in equal parts {', '.join(PACED)} (%(default)g)",
    )
    found.add_argument(
        "--seconds", type=float, default=60, help="stop after so long, come what may (%(default)g)"
    )
    found.add_argument(
        "--timeout",
        type=float,
        default=plan.timeout,
        help="seconds for connecting, and again for the answer (%(default)g)",
    )
    found.add_argument(
        "--without",
        nargs="+",
        type=Client,
        choices=list(Client),
        default=[],
        metavar="client",
        help=f"leave clients out, of {', '.join(Client)}",
    )
    found.add_argument(
        "--lasting",
        type=int,
        default=plan.lasting,
        help="slow requests, WebSockets and event streams, each so many (%(default)d)",
    )
    found.add_argument("--report", type=Path, help="file for the JSON (stdout)")
    found.add_argument("--stop-file", type=Path, help="stop when it exists")
    found.add_argument(
        "--marks", type=Path, help="file of lines `<Unix time> <text>`: what was done meanwhile"
    )
    return found


def read_marks(file: Path | None) -> list[tuple[float, str]]:
    """Return the moments and texts of a file of marks."""
    if file is None or not file.exists():
        return []
    pairs = [line.split(" ", 1) for line in file.read_text().splitlines() if line]
    return [(float(moment), text) for moment, text in pairs]


async def run(
    plan: Plan, seconds: float, stop_file: Path | None = None, marks: Path | None = None
) -> Report:
    """Send until told to stop, `seconds` at most."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    recorder = Recorder(list(plan.clients))

    async def announce() -> None:
        await recorder.heard.wait()
        print(RUNNING, file=sys.stderr, flush=True)

    async def watch() -> None:
        while stop_file is not None and not stop_file.exists():
            await asyncio.sleep(0.1)
        if stop_file is not None:
            stop.set()

    asides = [asyncio.create_task(announce()), asyncio.create_task(watch())]
    limit = loop.call_later(seconds, stop.set)
    await Clients(plan, recorder, stop).run()
    limit.cancel()
    for task in asides:
        task.cancel()
    return recorder.report(plan.site, list(plan.balancers), read_marks(marks))


def main() -> None:
    """Run the command line."""
    command_line = parser()
    options = command_line.parse_args()
    if options.rate <= 0:
        command_line.error("--rate must be more than 0: leave clients out with --without")
    if not set(Client) - set(options.without):
        command_line.error("--without leaves no client")
    plan = Plan(
        site=options.site,
        balancers=tuple(options.balancers),
        clients=tuple(client for client in Client if client not in options.without),
        rate=options.rate,
        timeout=options.timeout,
        lasting=options.lasting,
    )
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError):  # more than the system allows
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 16384)), hard))
    report = asyncio.run(run(plan, options.seconds, options.stop_file, options.marks))
    if options.report is None:
        print(report.json())
    else:
        options.report.write_text(report.json())
    print(report.summary(), file=sys.stderr)
    sys.exit(report.failed > 0)


if __name__ == "__main__":
    main()
