"""What units are to each other, and what systemd makes of a calendar."""

import pytest
from fuego_deploy import units

NAMES = ["shop.service", "shop.socket", "shop_tidy.service", "shop_tidy.timer",
         "shop_worker.service"]  # fmt: skip


def test_a_job_has_a_timer_and_a_process_has_none() -> None:
    assert units.jobs(NAMES) == {"shop_tidy.service"}
    assert units.processes(NAMES) == ["shop_worker.service"]


@pytest.mark.parametrize("schedule", ["daily", "Mon..Fri 07:30", "*:0/5"])
def test_a_schedule_that_systemd_reads(schedule: str) -> None:
    assert units.check_schedule(schedule) == ""


@pytest.mark.parametrize("schedule", ["every day", "25:00", "--help"])
def test_a_schedule_that_it_does_not(schedule: str) -> None:
    assert units.check_schedule(schedule)
