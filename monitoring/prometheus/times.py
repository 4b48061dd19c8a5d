"""The one place where a rule's times are decided.

Rules are written with the times that they have in earnest. `Times` scales them all, so that the very same rules
can be watched in minutes instead of days, and keeps every window wide enough for a rate.
"""

import re

UNITS = (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1))
# `rate` wants two samples; four leave room for one that is missed and one that is late.
FEWEST_SCRAPES = 4
WINDOW = re.compile(r"\[(\d+(?:ms|[smhd]))\]")
OFFSET = re.compile(r"\boffset (\d+(?:ms|[smhd]))\b")


def milliseconds(text):
    """`5m` is 300,000."""
    number, unit = re.fullmatch(r"(\d+)(ms|[smhd])", text).groups()
    return int(number) * dict(UNITS)[unit]


def written(number):
    """As Prometheus writes durations: 5,400,000 is `1h30m`."""
    parts = []
    for unit, size in UNITS:
        count, number = divmod(number, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


class Times:
    """Times by a factor, for a Prometheus that scrapes every so many seconds."""

    def __init__(self, scale=1.0, scrape_seconds=15.0):
        if not 0 < scale <= 1 or scrape_seconds <= 0:
            raise ValueError("the scale is above 0 and at most 1, and scrapes are some seconds apart")
        self.scale, self.scrape = scale, round(scrape_seconds * 1_000)

    def window(self, text):
        """What a rate or an average looks back over."""
        return written(max(round(milliseconds(text) * self.scale), FEWEST_SCRAPES * self.scrape))

    def wait(self, text):
        """How long something has to last, or how far back to begin."""
        return written(round(milliseconds(text) * self.scale))

    def interval(self):
        """How often rules are evaluated: no oftener than there is something new."""
        return written(self.scrape)

    def scaled(self, expression):
        """An expression with the windows and offsets in it scaled."""
        expression = WINDOW.sub(lambda found: f"[{self.window(found[1])}]", expression)
        return OFFSET.sub(lambda found: f"offset {self.wait(found[1])}", expression)
