"""A clock that only moves when somebody sleeps."""


class Clock:
    """`clock()` is the time in seconds, `clock.sleep(seconds)` lets it pass."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
