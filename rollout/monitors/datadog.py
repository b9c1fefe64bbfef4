"""Monitor `datadog`: counts by the timeseries query of API v2.

Made by `rollout.wiring` for the controller. It asks for sums of counts only; null is not zero, and
a rate, a share or a time where a count was asked for is an error.
"""

import re
from collections.abc import Mapping
from datetime import datetime
from itertools import pairwise
from typing import Annotated, Any

from pydantic import Field, field_validator

from incidents.models import Bucket, Version
from rollout.monitors.web import Counts, Web, WebSettings, bucket, count, grid, messages, secret

NAMES = ("requests", "errors")
NO_COUNTS = {"time", "percentage", "bytes", "frequency", "money", "temperature"}
_QUERY = re.compile(r"sum:[A-Za-z][\w.]*\{[^{}]+\}")


class Settings(WebSettings):
    """The keys beside `source = "datadog"`."""

    address: Annotated[str, Field(pattern=r"^https?://[^\s/]")] = "https://api.datadoghq.com"
    requests: str  # "sum:trace.http.request.hits{service:checkout,version:$group}"
    errors: str
    api_key_file: str
    application_key_file: str
    delay: Annotated[float, Field(ge=0, le=3600, allow_inf_nan=False)] = 120.0
    step: Annotated[int, Field(ge=10, le=3600)] = 60

    @field_validator("requests", "errors")
    @classmethod
    def _is_a_sum(cls, given: str) -> str:
        if not _QUERY.fullmatch(given.strip()):
            raise ValueError(
                "must be one sum of a count, such as sum:trace.http.request.hits"
                "{service:checkout,version:$group}; .as_count() and .rollup() are added"
            )
        if "$group" not in given:
            raise ValueError("must contain $group, or both versions are counted under one tag")
        return given.strip()


class Datadog:
    """Counts without response times: Datadog keeps percentiles, which cannot be added up."""

    fingerprints = False

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._web = Web(f"Datadog at {settings.address}", settings, self._headers)

    def buckets(self, version: Version, since: datetime, until: datetime) -> list[Bucket]:
        """Return the whole buckets inside [since, until) that are old enough, oldest first."""
        settings = self._settings
        starts = grid(since, until, settings)
        if not starts:
            return []
        answer = self._web.post(
            "/api/v2/query/timeseries", self._web.deadline(), json=self._question(version, starts)
        )
        columns = self._columns(answer)
        found = []
        for start in starts:
            at = round(start.timestamp() * 1000)
            failed = columns["errors"].get(at)
            if failed is None and settings.sparse_errors:
                failed = 0
            counts = Counts(columns["requests"].get(at), failed)
            found.append(bucket(version, start, settings.step, counts))
        return found

    def close(self) -> None:
        """Close the connections."""
        self._web.close()

    def _headers(self) -> Mapping[str, str]:
        settings = self._settings
        return {
            "DD-API-KEY": secret(settings.api_key_file) or "",
            "DD-APPLICATION-KEY": secret(settings.application_key_file) or "",
        }

    def _question(self, version: Version, starts: list[datetime]) -> dict[str, Any]:
        settings = self._settings
        group, step = settings.group(version), settings.step
        queries = [
            {
                "data_source": "metrics",
                "name": name,
                "query": f"{text.replace('$group', group)}.as_count().rollup(sum, {step})",
            }
            for name, text in zip(NAMES, (settings.requests, settings.errors), strict=True)
        ]
        attributes = {
            "from": round(starts[0].timestamp() * 1000),
            "to": round((starts[-1].timestamp() + step) * 1000),
            "interval": step * 1000,
            "queries": queries,
            "formulas": [{"formula": name} for name in NAMES],
        }
        return {"data": {"type": "timeseries_request", "attributes": attributes}}

    def _columns(self, answer: dict[str, Any]) -> dict[str, dict[int, int | None]]:
        """Return per name the count at each start in ms, None where the answer has null."""
        if (said := next(messages(answer.get("errors")), None)) is not None:
            raise self._web.failure(f"answers with an error: {said}")
        try:
            attributes = answer["data"]["attributes"]
            times, series = attributes["times"], attributes["series"]
            values = attributes["values"]
            self._check_times(times)
            columns: dict[str, dict[int, int | None]] = {name: {} for name in NAMES}
            for one, column in zip(series, values, strict=True):
                name = NAMES[one["query_index"]]
                if columns[name]:
                    raise self._web.failure(f"answers with several series for {name!r}")
                self._check_unit(name, one.get("unit"))
                columns[name] = dict(zip(times, map(count, column), strict=True))
        except (KeyError, IndexError, TypeError, ValueError, AttributeError):
            raise self._web.failure("answers in a shape that is not a timeseries") from None
        return columns

    def _check_times(self, times: list[int]) -> None:
        step = int(self._settings.step * 1000)
        for one, following in pairwise(times):
            if following <= one:
                raise self._web.failure("answers with times that are doubled or out of order")
            if (following - one) % step:
                raise self._web.failure("answers in another interval than was asked for")

    def _check_unit(self, name: str, unit: Any) -> None:
        main, per = [*(unit or []), None, None][:2]
        if per is not None:
            raise self._web.failure(f"answers with a rate for {name!r} where counts were asked for")
        if main is not None and main.get("family") in NO_COUNTS:
            raise self._web.failure(f"answers in {main.get('plural', 'a unit')} for {name!r}")
