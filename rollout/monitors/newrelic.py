"""Monitor `newrelic`: counts by one NRQL question through NerdGraph.

Made by `rollout.wiring` for the controller. NRQL says 0 where nothing was reported at all, so the
question counts everything of the service beside the version: where that is 0, nobody watched.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

from pydantic import Field, field_validator

from incidents.models import Bucket, Version
from rollout.monitors.web import Counts, Web, WebSettings, bucket, count, grid, messages, secret

_GRAPHQL = (
    "query($account: Int!, $nrql: Nrql!) "
    "{ actor { account(id: $account) { nrql(query: $nrql, timeout: 20) { results } } } }"
)


class Settings(WebSettings):
    """The keys beside `source = "newrelic"`."""

    address: Annotated[str, Field(pattern=r"^https?://[^\s/]")] = "https://api.newrelic.com"
    account: Annotated[int, Field(gt=0)]
    where: Annotated[str, Field(min_length=1)]  # "appName = 'checkout'"
    label: Annotated[str, Field(pattern=r"^[A-Za-z_][\w.]*$")] = "version"  # tells the versions
    errors: Annotated[str, Field(min_length=1)] = "error IS TRUE"
    event: Annotated[str, Field(pattern=r"^[A-Za-z_]\w*$")] = "Transaction"
    api_key_file: str
    step: Annotated[int, Field(ge=10, le=3600)] = 60

    @field_validator("where", "errors")
    @classmethod
    def _is_one_condition(cls, given: str) -> str:
        words = given.upper().split()
        if {"FACET", "TIMESERIES", "SINCE", "UNTIL", "LIMIT"} & set(words):
            raise ValueError("must be a condition alone, without FACET, SINCE or TIMESERIES")
        return given


class NewRelic:
    """Counts without response times: NRQL gives percentiles, which cannot be added up."""

    fingerprints = False

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._web = Web(f"New Relic at {settings.address}", settings, self._headers)

    def buckets(self, version: Version, since: datetime, until: datetime) -> list[Bucket]:
        """Return the whole buckets inside [since, until) that are old enough, oldest first."""
        starts = grid(since, until, self._settings)
        if not starts:
            return []
        variables = {
            "account": self._settings.account,
            "nrql": self._question(version, starts),
        }
        answer = self._web.post(
            "/graphql", self._web.deadline(), json={"query": _GRAPHQL, "variables": variables}
        )
        rows = self._rows(answer)
        return [
            bucket(version, start, self._settings.step, self._counts(rows.get(start.timestamp())))
            for start in starts
        ]

    def close(self) -> None:
        """Close the connections."""
        self._web.close()

    def _headers(self) -> Mapping[str, str]:
        return {"API-Key": secret(self._settings.api_key_file) or ""}

    def _question(self, version: Version, starts: list[datetime]) -> str:
        settings = self._settings
        mine = f"{settings.label} = '{settings.group(version)}'"
        since = round(starts[0].timestamp() * 1000)
        until = round((starts[-1].timestamp() + settings.step) * 1000)
        columns = (
            f"filter(count(*), WHERE {mine}) AS requests",
            f"filter(count(*), WHERE {mine} AND ({settings.errors})) AS errors",
            "count(*) AS seen",
        )
        clauses = (
            f"FROM {settings.event} WHERE ({settings.where})",
            f"SINCE {since} UNTIL {until} TIMESERIES {settings.step} seconds",
        )
        return " ".join(("SELECT", ", ".join(columns), *clauses))

    def _counts(self, row: dict[str, Any] | None) -> Counts:
        if row is None or not count(row.get("seen")):
            return Counts(None, None)
        return Counts(count(row.get("requests")), count(row.get("errors")))

    def _rows(self, answer: dict[str, Any]) -> dict[float, dict[str, Any]]:
        """Return the rows by their start; raises for whatever is not one row per bucket."""
        if (said := next(messages(answer.get("errors")), None)) is not None:
            raise self._web.failure(f"answers with an error: {said}")
        found: dict[float, dict[str, Any]] = {}
        try:
            results = answer["data"]["actor"]["account"]["nrql"]["results"]
            for row in results:
                begin, end = float(row["beginTimeSeconds"]), float(row["endTimeSeconds"])
                if "facet" in row:
                    raise self._web.failure("answers with several series where one was asked for")
                if begin in found:
                    raise self._web.failure("answers with two rows for one time")
                if end - begin != self._settings.step:
                    raise self._web.failure("answers in another interval than was asked for")
                found[begin] = row
        except (KeyError, TypeError, ValueError):
            raise self._web.failure("answers in a shape that is not rows of counts") from None
        return found
