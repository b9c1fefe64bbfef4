"""Monitor `prometheus`: counts and histograms by `query_range`, never ratios.

Made by `rollout.wiring` for the controller; also for whatever speaks Prometheus' HTTP API. A series
that is absent is not zero, and a query that brings more than was asked for is an error.
"""

import base64
import re
from collections.abc import Mapping
from datetime import datetime
from math import inf
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from incidents.models import Bucket, Version
from rollout.monitors.web import Counts, Web, WebSettings, bucket, count, grid, secret

BEYOND = 1e12  # ms; stands for "+Inf", which JSON does not know
OLD = "1h"

_STRINGS = re.compile(r'"(?:[^"\\]|\\.)*"')
_SELECTOR = re.compile(r"(?:[A-Za-z_:][\w:]*)?\s*\{[^{}\[\]()]+\}")


class Settings(WebSettings):
    """The keys beside `source = "prometheus"`; queries are bare selectors with `$group`."""

    requests: str  # 'http_requests_total{service="checkout", version="$group"}'
    errors: str
    times: str | None = None  # the _bucket series of a histogram
    unit: Literal["s", "ms"] = "s"  # of its bounds
    scrape: Annotated[float, Field(gt=0, le=600, allow_inf_nan=False)] = 15.0
    token_file: str | None = None
    user: str | None = None
    password_file: str | None = None
    headers: dict[str, str] = Field(default_factory=dict)

    @field_validator("requests", "errors", "times")
    @classmethod
    def _bare(cls, given: str | None) -> str | None:
        if given is None:
            return None
        if not _SELECTOR.fullmatch(_STRINGS.sub('""', given.strip())):
            raise ValueError(
                'must be a bare selector such as http_requests_total{version="$group"}; '
                "increase() and sum() are put around it"
            )
        if "$group" not in given:
            raise ValueError("must contain $group, or both versions are counted under one label")
        return given.strip()

    @model_validator(mode="before")
    @classmethod
    def _pace_of_scrapes(cls, given: Any) -> Any:
        scrape = given.get("scrape", 15.0) if isinstance(given, dict) else None
        if not isinstance(scrape, int | float):
            return given
        return {"step": 4.0 * scrape, "delay": 2.0 * scrape, **given}

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.requests == self.errors:
            raise ValueError("'requests' and 'errors' select the same series")
        if self.step < 2 * self.scrape:
            raise ValueError("'step' must be at least twice 'scrape': increase() needs two samples")
        named = re.search(r"_(milliseconds|ms|seconds)_bucket\{", self.times or "")
        if named and (named[1] == "seconds") != (self.unit == "s"):
            raise ValueError(f"'times' is in {named[1]}, but 'unit' is {self.unit!r}")
        if (self.user is None) != (self.password_file is None):
            raise ValueError("'user' and 'password_file' belong together")
        if self.user is not None and self.token_file is not None:
            raise ValueError("choose 'token_file' or 'user'")
        return self


class Prometheus:
    """Counts by increase() over each bucket, rounded: extrapolation makes 3000.0000000000005."""

    fingerprints = False

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._web = Web(f"Prometheus at {settings.address}", settings, self._headers)

    def buckets(self, version: Version, since: datetime, until: datetime) -> list[Bucket]:
        """Return the whole buckets inside [since, until) that are old enough, oldest first."""
        settings = self._settings
        starts = grid(since, until, settings)
        if not starts:
            return []
        deadline = self._web.deadline()
        requests = self._counts(settings.requests, version, starts, deadline)
        failed = self._counts(settings.errors, version, starts, deadline)
        times = self._times(version, starts, deadline)
        found = []
        for start in starts:
            errors = failed.get(start)
            if start not in failed and settings.sparse_errors:
                errors = 0
            counts = Counts(requests.get(start), errors, times.get(start))
            found.append(bucket(version, start, settings.step, counts))
        return found

    def close(self) -> None:
        """Close the connections."""
        self._web.close()

    def _headers(self) -> Mapping[str, str]:
        settings = self._settings
        headers = dict(settings.headers)
        if (token := secret(settings.token_file)) is not None:
            headers["Authorization"] = f"Bearer {token}"
        if (password := secret(settings.password_file)) is not None:
            pair = f"{settings.user}:{password}".encode()
            headers["Authorization"] = f"Basic {base64.b64encode(pair).decode()}"
        return headers

    def _increase(self, selector: str, version: Version) -> str:
        """Return the increase of every series over a bucket, new ones from zero.

        A counter is often born with its first error, and increase() does not see a birth. Whatever
        was not there within the hour before the bucket is new, and counts with its whole value.
        """
        one = selector.replace("$group", self._settings.group(version))
        step = f"{round(self._settings.step * 1000)}ms"
        known = f"last_over_time({one}[{OLD}] offset {step})"
        return (
            f"((increase({one}[{step}]) and {known}) or (last_over_time({one}[{step}]) "
            f"unless {known}))"
        )

    def _counts(
        self, selector: str, version: Version, starts: list[datetime], deadline: float
    ) -> dict[datetime, int | None]:
        query = f"sum({self._increase(selector, version)})"
        series = self._ask(query, starts, deadline)
        if len(series) > 1:
            raise self._web.failure(f"answers with {len(series)} series where one was asked for")
        return self._values(series[0], starts) if series else {}

    def _times(
        self, version: Version, starts: list[datetime], deadline: float
    ) -> dict[datetime, tuple[tuple[float, int], ...]]:
        """Return cumulative histograms in ms; a bucket with a hole in it has none."""
        if self._settings.times is None:
            return {}
        query = f"sum by (le) ({self._increase(self._settings.times, version)})"
        rows: dict[float, dict[datetime, int | None]] = {}
        for one in self._ask(query, starts, deadline):
            bound = self._bound(one)
            if bound in rows:
                raise self._web.failure("answers with two series for one bound of the histogram")
            rows[bound] = self._values(one, starts)
        bounds = sorted(rows)
        if not bounds or bounds[-1] != BEYOND:
            return {}
        found = {}
        for start in starts:
            column = [rows[bound].get(start) for bound in bounds]
            whole = [value for value in column if value is not None]
            if len(whole) == len(column):
                # Each bound is extrapolated for itself, so one may overtake the next by rounding.
                rising = [max(whole[: place + 1]) for place in range(len(whole))]
                found[start] = tuple(zip(bounds, rising, strict=True))
        return found

    def _bound(self, series: dict[str, Any]) -> float:
        metric = series.get("metric")
        try:
            bound = float(metric["le"]) if isinstance(metric, dict) else -1.0
        except (KeyError, ValueError, TypeError):
            bound = -1.0
        if not bound >= 0:
            raise self._web.failure("answers for 'times' with series that are no histogram")
        return BEYOND if bound == inf else bound * (1000 if self._settings.unit == "s" else 1)

    def _ask(self, query: str, starts: list[datetime], deadline: float) -> list[dict[str, Any]]:
        step = self._settings.step
        form = {
            "query": query,
            "start": f"{starts[0].timestamp() + step:.3f}",  # a value looks back over its bucket
            "end": f"{starts[-1].timestamp() + step:.3f}",
            "step": f"{step:g}",
        }
        answer = self._web.post("/api/v1/query_range", deadline, data=form)
        if answer.get("status") != "success":
            raise self._web.failure(f"answers with an error: {answer.get('error', 'no reason')}")
        if answer.get("warnings"):
            raise self._web.failure(f"warns that its answer is not whole: {answer['warnings']}")
        data = answer.get("data")
        result = data.get("result") if isinstance(data, dict) else None
        if not isinstance(result, list) or data is None or data.get("resultType") != "matrix":
            raise self._web.failure("answers in a shape that is not a range of values")
        if not all(isinstance(one, dict) for one in result):
            raise self._web.failure("answers in a shape that is not a range of values")
        return result

    def _values(self, series: dict[str, Any], starts: list[datetime]) -> dict[datetime, int | None]:
        """Return the count of each bucket that was answered for; strangers' times are left out."""
        wanted = {round((one.timestamp() + self._settings.step) * 1000): one for one in starts}
        found: dict[datetime, int | None] = {}
        try:
            for at, value in series["values"]:
                start = wanted.get(round(float(at) * 1000))
                if start is None:
                    continue
                if start in found and found[start] != count(value):
                    raise self._web.failure("answers with two values for one time")
                found[start] = count(value)
        except (KeyError, ValueError, TypeError, OverflowError):
            raise self._web.failure("answers in a shape that is not a range of values") from None
        return found
