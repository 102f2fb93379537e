#!/usr/bin/env python3
"""Wait until the hosts of a lab are booted and answer on SSH: booted.py PODMAN PREFIX SECONDS

Reads the lab's hosts as JSON, as the filter lab_hosts makes them; their containers have the
PREFIX. Each may take SECONDS. Exits with 1 where one does not come, and names it.
"""

import json
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

BOOTED = ("running", "degraded")
TIMED_OUT = 124
"""What timeout(1) exits with."""


def greets(address: str, port: int) -> bool:
    """Whether an SSH server greets there."""
    try:
        with socket.create_connection((address, port), timeout=5) as connection:
            return connection.recv(3) == b"SSH"
    except OSError:
        return False


def trouble(podman: str, prefix: str, host: dict[str, Any], seconds: float) -> str:
    """What keeps the host from being there; nothing once it is."""
    end = time.monotonic() + seconds
    # The time is the container's to keep: podman may be root's, whom nobody else can end.
    limited = ["timeout", f"{seconds:g}", "systemctl", "is-system-running", "--wait"]
    command = [podman, "exec", f"{prefix}-{host['name']}", *limited]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode == TIMED_OUT:
        return f"lab: {host['name']} has not booted within {seconds:g} s"
    if done.stdout.strip() not in BOOTED:
        return f"lab: {host['name']} does not boot: {(done.stdout + done.stderr).strip()}"
    while not greets(host["loopback"], int(host["ssh_port"])):
        if time.monotonic() > end:
            return f"lab: {host['name']} does not answer on SSH within {seconds:g} s"
        time.sleep(0.1)
    return ""


def main() -> None:
    podman, prefix, seconds = sys.argv[1:]
    hosts = json.load(sys.stdin)
    with ThreadPoolExecutor(len(hosts)) as pool:
        found = pool.map(lambda host: trouble(podman, prefix, host, float(seconds)), hosts)
    missing = [line for line in found if line]
    print("\n".join(missing), file=sys.stderr)
    sys.exit(bool(missing))


if __name__ == "__main__":
    main()
