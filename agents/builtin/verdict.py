"""The one rule by which a diagnosis is CONFIRMED, LIKELY, INCONCLUSIVE or NO CODE CAUSE.

Called once at the end of a diagnosis, with the facts that were established; pure. The first row of
the table whose condition holds decides, and its words go into the report: no feeling, no number.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from incidents.models import Verdict


class Replayed(StrEnum):
    """What replaying the failure on the broken revision showed."""

    NO_COMMAND = "no command"
    UNFINISHED = "unfinished"  # the time was used up before one replay had ended
    CANNOT_START = "cannot start"  # the test never got as far as the failure, at any revision
    ALWAYS = "always"
    SOMETIMES = "sometimes"
    NEVER = "never"


class AtGood(StrEnum):
    """What the same replay showed at the last good revision."""

    UNKNOWN = "unknown"
    PASSES = "passes"
    FAILS_ALIKE = "fails alike"
    FAILS_SOMETIMES = "fails sometimes"
    UNTESTABLE = "untestable"


class Without(StrEnum):
    """The broken revision with exactly the suspect taken out."""

    NOT_RUN = "not run"
    GONE = "gone"
    STILL_THERE = "still there"
    INSEPARABLE = "inseparable"  # later changes build on it, or the tree without it cannot run


@dataclass(frozen=True)
class Trial:
    """What is known about one suspect; its runs were interleaved with those beside it."""

    commit: str
    at_suspect_fails: bool | None = None
    parents_pass: bool | None = None
    without: Without = Without.NOT_RUN
    # The last good revision plus exactly this commit fails in the same way.
    alone_fails: bool | None = None
    # The failure was there at every tested revision from the suspect to the broken one.
    unbroken: bool = True
    # Enough runs that chance explains the pattern with at most 1 %.
    enough_runs: bool = False
    # No other commit of an untestable range could be the one.
    only_one: bool = True


@dataclass(frozen=True)
class Facts:
    """Everything that the rule may look at."""

    replayed: Replayed
    at_good: AtGood = AtGood.UNKNOWN
    trial: Trial | None = None
    # The sandbox has no network: a failure to connect in there says nothing about the world.
    network_failure: bool = False
    test_changed: bool = False  # the good revision passes its own version of the test
    record_complete: bool = False
    dead_dependency: str | None = None
    healthy: bool = False  # logs were read and the rate is not above its baseline
    # Without a replay: a frame leads to a deployed commit, and no other comes near.
    clear_suspect: str | None = None
    # The failure is gone when exactly this variable has the value of the last good deploy, and it
    # alone brings it back; both shown by equal runs on the broken revision.
    variable: str | None = None
    # What was replayed fails in files that those of the logs and traces never meet.
    elsewhere: bool = False


@dataclass(frozen=True)
class Decision:
    """The verdict, the commit it names, and the words of the row that decided."""

    verdict: Verdict
    culprit: str | None
    why: str


def first_bad(trial: Trial) -> bool:
    """Tell whether the failure began with exactly this commit and lasted."""
    return trial.at_suspect_fails is True and trial.parents_pass is True and trial.unbroken


def proved(facts: Facts) -> bool:
    """Tell whether taking exactly the suspect away, in and out, carries a conviction.

    Either it is first-bad and the failure is gone without it (or it can no longer be taken out of
    the broken revision, which first-bad survives), or the commits around it cannot be tested and
    it alone brings the failure to the good revision and alone takes it from the broken one.
    """
    trial = facts.trial
    if trial is None or not trial.enough_runs or facts.at_good is not AtGood.PASSES:
        return False
    if first_bad(trial):
        return trial.without in (Without.GONE, Without.INSEPARABLE)
    return (
        trial.without is Without.GONE
        and trial.alone_fails is True
        and trial.only_one
        and trial.parents_pass is not False
        and trial.at_suspect_fails is not False
    )


def half_proved(facts: Facts) -> bool:
    """Tell whether one half of the proof holds and nothing speaks against it."""
    trial = facts.trial
    if trial is None or facts.at_good is not AtGood.PASSES or facts.replayed is Replayed.SOMETIMES:
        return False
    if trial.without is Without.STILL_THERE or not trial.unbroken or not trial.only_one:
        return False
    return first_bad(trial) or (trial.without is Without.GONE and trial.alone_fails is not False)


@dataclass(frozen=True)
class Row:
    """One line of the rule."""

    when: Callable[[Facts], bool]
    verdict: Verdict
    why: str


def _replayed(*kinds: Replayed) -> Callable[[Facts], bool]:
    return lambda facts: facts.replayed in kinds


SHOWN = (Replayed.ALWAYS, Replayed.SOMETIMES)

RULE: tuple[Row, ...] = (
    Row(
        lambda f: f.replayed in SHOWN and proved(f) and not f.elsewhere,
        Verdict.CONFIRMED,
        "The failure was reproduced, and it is gone when exactly this commit is taken away.",
    ),
    Row(
        lambda f: f.replayed in SHOWN and f.variable is not None and not f.elsewhere,
        Verdict.NO_CODE_CAUSE,
        "The failure was reproduced with the present environment, and it is gone when exactly one "
        "variable has its former value: no commit is its cause.",
    ),
    Row(
        lambda f: (
            f.dead_dependency is not None
            and f.record_complete
            and (f.replayed is not Replayed.ALWAYS or f.at_good is not AtGood.PASSES or f.elsewhere)
        ),
        Verdict.NO_CODE_CAUSE,
        "A declared dependency does not answer a live probe, and no commit was shown to be guilty.",
    ),
    Row(
        lambda f: f.replayed in SHOWN and f.elsewhere,
        Verdict.INCONCLUSIVE,
        "The test fails for a reason of its own: neither its error nor its files are those of the "
        "logs and traces, so nothing was shown about the incident.",
    ),
    Row(
        lambda f: (
            f.replayed in SHOWN
            and f.network_failure
            and f.at_good in (AtGood.FAILS_ALIKE, AtGood.FAILS_SOMETIMES)
        ),
        Verdict.INCONCLUSIVE,
        "The replay fails at every revision because it cannot reach a dependency from the sandbox, "
        "which has no network: that is a gap, not evidence.",
    ),
    Row(
        lambda f: (
            f.replayed in SHOWN
            and f.test_changed
            and f.at_good in (AtGood.FAILS_ALIKE, AtGood.FAILS_SOMETIMES)
        ),
        Verdict.INCONCLUSIVE,
        "Today's version of the test fails on the good revision too, whose own version passes: "
        "the test itself was changed.",
    ),
    Row(
        lambda f: (
            f.replayed in SHOWN
            and f.record_complete
            and f.at_good in (AtGood.FAILS_ALIKE, AtGood.FAILS_SOMETIMES)
        ),
        Verdict.NO_CODE_CAUSE,
        "The same failure appears at the last good revision: no commit since then is its cause.",
    ),
    Row(
        lambda f: f.replayed in SHOWN and f.at_good in (AtGood.FAILS_ALIKE, AtGood.FAILS_SOMETIMES),
        Verdict.INCONCLUSIVE,
        "The same failure appears at the oldest revision that was tested, and no complete record "
        "of changes says whether that revision was ever good.",
    ),
    Row(
        lambda f: f.replayed in SHOWN and half_proved(f),
        Verdict.LIKELY,
        "The failure was reproduced and everything points at this commit, but the proof has a gap.",
    ),
    Row(
        _replayed(Replayed.SOMETIMES),
        Verdict.INCONCLUSIVE,
        "The failure comes and goes, and no commit was convicted beyond chance.",
    ),
    Row(
        lambda f: f.replayed is Replayed.ALWAYS and f.at_good is not AtGood.PASSES,
        Verdict.INCONCLUSIVE,
        "The failure was reproduced, but no revision was found on which the same test passes.",
    ),
    Row(
        _replayed(Replayed.ALWAYS),
        Verdict.INCONCLUSIVE,
        "The failure was reproduced, but it could not be pinned to exactly one commit.",
    ),
    Row(
        _replayed(Replayed.CANNOT_START),
        Verdict.INCONCLUSIVE,
        "The test cannot start, so nothing could be proved: the test environment is the gap.",
    ),
    Row(
        _replayed(Replayed.UNFINISHED),
        Verdict.INCONCLUSIVE,
        "The time was used up before the replay had shown anything: give more time, or a command "
        "that ends sooner.",
    ),
    Row(
        lambda f: f.replayed in (Replayed.NEVER, Replayed.NO_COMMAND) and f.healthy,
        Verdict.INCONCLUSIVE,
        "No incident found: the error rate is not above its baseline, and no test fails.",
    ),
    Row(
        _replayed(Replayed.NEVER),
        Verdict.INCONCLUSIVE,
        "The failure cannot be reproduced on the broken revision.",
    ),
    Row(
        lambda f: f.clear_suspect is not None,
        Verdict.LIKELY,
        "A frame of the failure leads to this commit and no other is near, but nothing was re-run.",
    ),
    Row(
        lambda f: True,
        Verdict.INCONCLUSIVE,
        "There is nothing to replay, and no single commit stands out.",
    ),
)


def decide(facts: Facts) -> Decision:
    """Return the verdict of the first row that holds."""
    row = next(row for row in RULE if row.when(facts))
    if row.verdict is Verdict.CONFIRMED or (row.verdict is Verdict.LIKELY and facts.trial):
        culprit = facts.trial.commit if facts.trial else None
    elif row.verdict is Verdict.LIKELY:
        culprit = facts.clear_suspect
    else:
        culprit = None
    return Decision(row.verdict, culprit, row.why)
