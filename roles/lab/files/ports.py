#!/usr/bin/env python3
"""Tell which ports of a lab something else on this machine holds: ports.py PODMAN FILTER...

Reads the lab's hosts as JSON, as the filter lab_hosts makes them. FILTERs are podman's for the
lab's own hosts, whose ports do not count. Prints a line for each port that is held.
"""

import json
import socket
import subprocess
import sys
import time

SECONDS = 1.0


def is_held(address: str, port: int) -> bool:
    """Whether somebody takes connections there, who is not just about to end."""
    for pause in (SECONDS, 0):
        try:
            socket.create_connection((address, port), timeout=SECONDS).close()
        except OSError:
            return False
        time.sleep(pause)
    return True


def main() -> None:
    podman, *filters = sys.argv[1:]
    command = [podman, "ps", "--format={{.Ports}}", *(f"--filter={each}" for each in filters)]
    own = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    for host in json.load(sys.stdin):
        for port in host["ports"]:
            place = f"{port['address']}:{port['port']}"
            if f"{place}->" not in own and is_held(port["address"], int(port["port"])):
                print(
                    f"lab: port {port['port']} on {port['address']}, which {host['name']} needs, "
                    f"is held by something else on this machine; end that, or move the lab: "
                    f"{port['mend']}"
                )


if __name__ == "__main__":
    main()
