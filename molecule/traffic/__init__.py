"""Clients that keep asking while a deploy goes on, and count every request that it loses.

`python -m traffic --help` with molecule/ on the path; in tests, `with Traffic(site, balancer):`.
"""

from traffic.process import Traffic
from traffic.report import Report

__all__ = ["Report", "Traffic"]
