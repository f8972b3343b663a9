"""Owns how times are written on the command line: `90s`, `10m`, `2h`, `7d`."""

import re
from datetime import UTC, datetime
from typing import Any

import click

UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}


class Duration(click.ParamType[float]):
    """A number with a unit (s, m, h, d), or seconds; becomes seconds above 0."""

    name = "duration"

    def convert(
        self,
        value: Any,  # noqa: ANN401  (click's signature)
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> float:
        """Return seconds."""
        if isinstance(value, int | float):
            return float(value)
        found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhd]?)", str(value).strip())
        seconds = float(found[1]) * UNITS[found[2] or "s"] if found else 0.0
        if seconds <= 0:
            self.fail(f"{value!r} is no duration; write 90s, 10m, 2h or 7d", param, ctx)
        return seconds


class Moment(click.ParamType[float]):
    """A duration before now, or a time as 2026-01-31T12:00; becomes Unix seconds."""

    name = "moment"

    def convert(
        self,
        value: Any,  # noqa: ANN401  (click's signature)
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> float:
        """Return seconds since the Unix epoch."""
        try:
            # Without a zone it is this machine's time.
            return datetime.fromisoformat(str(value)).astimezone(UTC).timestamp()
        except ValueError:
            pass
        try:
            ago_s = Duration().convert(value, param, ctx)
        except click.BadParameter:
            self.fail(
                f"{value!r} is no time; write 10m, 2h, 1d or 2026-01-31T12:00",
                param,
                ctx,
            )
        return datetime.now(UTC).timestamp() - ago_s
