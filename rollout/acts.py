"""The words of a rollout's tick, and the table that says what each means in each state.

Read by `rollout.canary`, which finds the word. Pure data: whoever checks the policy reads this file
and no code; a test walks every pair.
"""

from enum import StrEnum

from incidents.models import RolloutState


class Seen(StrEnum):
    """What one look at a rollout comes to."""

    ORDERED_BACK = "a person takes it back"
    FOREIGN = "a revision of someone else is in production"
    FAIL = "a gate failed"
    FAIL_BETTER = "a gate failed, and stable is worse with evidence"
    BLIND = "nobody knows how the canary does, or nobody was watching"
    BLIND_PROVEN = "the same, after a PASS in which the canary was better than stable"
    BEHIND = "the shift was written down and not commanded yet"
    ORDERED_HOLD = "a person holds it"
    RESUMED = "a person lets it go on"
    REFUSED = "the approvers said no"
    SILENT = "the approval's time ran out"
    SILENT_PROVEN = "the same, after a PASS in which the canary was better than stable"
    GRANTED = "the next phase is approved"
    PASS = "every gate passed at a look"  # noqa: S105 - a result, no password
    OVER = "the time is over without a verdict"
    THIN = "the extended time is over, only requests are missing"
    READY = "production is as commanded"
    NOT_READY = "production is not yet as commanded"
    GOING = "nothing new"


class Do(StrEnum):
    """What the controller does about it."""

    WAIT = "wait"
    PREPARE = "prepare"
    ARM = "arm"  # rehearse the way back, then arm the watchdog
    SHIFT = "shift"
    REPEAT = "repeat"  # command the weight of this phase again
    ASK = "ask"
    EXTEND = "extend"
    MITIGATED = "mitigated"  # 100 % and PASS: users are no longer hurt; the validation begins
    RESUME = "resume"
    PROMOTE = "promote"
    HOLD = "hold"
    TAKE_BACK = "take back"
    TAKEN_BACK = "taken back"
    FINISH = "finish"
    CANCEL = "cancel"
    GIVE_UP = "give up"  # taking back did not work: page people


class Order(StrEnum):
    """A person's word that needs no approval."""

    HOLD = "hold"
    RESUME = "resume"
    TAKE_BACK = "take back"


_S, _D = RolloutState, Do
_N = Seen
_ALWAYS_BACK = {_N.ORDERED_BACK: _D.TAKE_BACK}
_QUIET = dict.fromkeys(Seen, _D.WAIT)
_WATCHED = {
    **_QUIET,
    **_ALWAYS_BACK,
    _N.FOREIGN: _D.HOLD,
    _N.FAIL: _D.TAKE_BACK,
    _N.FAIL_BETTER: _D.HOLD,
    _N.BLIND: _D.TAKE_BACK,
    _N.BLIND_PROVEN: _D.HOLD,
    _N.BEHIND: _D.REPEAT,
    _N.ORDERED_HOLD: _D.HOLD,
    _N.REFUSED: _D.TAKE_BACK,
    _N.SILENT: _D.TAKE_BACK,
    _N.SILENT_PROVEN: _D.HOLD,
}

# The whole behaviour on one screen; a test walks every pair.
ACTS: dict[RolloutState, dict[Seen, Do]] = {
    _S.PLANNED: {
        **_QUIET,
        _N.ORDERED_BACK: _D.CANCEL,
        _N.FOREIGN: _D.CANCEL,
        _N.REFUSED: _D.CANCEL,
        _N.SILENT: _D.CANCEL,
        _N.GRANTED: _D.PREPARE,
    },
    _S.PREPARING: {
        **_QUIET,
        **_ALWAYS_BACK,
        _N.FOREIGN: _D.HOLD,
        _N.ORDERED_HOLD: _D.HOLD,
        _N.REFUSED: _D.TAKE_BACK,
        _N.OVER: _D.TAKE_BACK,
        _N.BLIND: _D.TAKE_BACK,
        _N.NOT_READY: _D.PREPARE,
        _N.READY: _D.ARM,
    },
    _S.ARMED: {
        **_QUIET,
        **_ALWAYS_BACK,
        _N.FOREIGN: _D.HOLD,
        _N.ORDERED_HOLD: _D.HOLD,
        _N.REFUSED: _D.TAKE_BACK,
        _N.SILENT: _D.TAKE_BACK,
        _N.BLIND: _D.TAKE_BACK,
        _N.NOT_READY: _D.PREPARE,
        _N.GRANTED: _D.SHIFT,
    },
    _S.BAKING: {
        **_WATCHED,
        _N.PASS: _D.ASK,  # at 100 %: MITIGATED
        _N.GRANTED: _D.SHIFT,  # PASS and approved already
        _N.OVER: _D.EXTEND,
        _N.THIN: _D.ASK,
    },
    _S.AWAITING: {
        **_WATCHED,
        _N.GRANTED: _D.SHIFT,
        _N.RESUMED: _D.RESUME,
        _N.PASS: _D.ASK,  # again, and better: it was asked while requests were missing
    },
    _S.VALIDATING: {
        **_WATCHED,
        _N.PASS: _D.PROMOTE,
        _N.OVER: _D.EXTEND,
        _N.THIN: _D.HOLD,
    },
    _S.PROMOTING: {
        **_QUIET,
        **_ALWAYS_BACK,
        _N.FOREIGN: _D.HOLD,
        _N.NOT_READY: _D.PROMOTE,
        _N.READY: _D.FINISH,
    },
    _S.HELD: {
        **_QUIET,
        **_ALWAYS_BACK,
        _N.FAIL: _D.TAKE_BACK,
        _N.BLIND: _D.TAKE_BACK,
        _N.REFUSED: _D.TAKE_BACK,
        _N.RESUMED: _D.RESUME,
    },
    _S.TAKING_BACK: {
        **_QUIET,
        **dict.fromkeys((_N.ORDERED_BACK, _N.FOREIGN, _N.NOT_READY), _D.TAKE_BACK),
        _N.READY: _D.TAKEN_BACK,
        _N.OVER: _D.GIVE_UP,
    },
    _S.TAKEN_BACK: _QUIET,
    _S.DONE: _QUIET,
    _S.CANCELLED: _QUIET,
    _S.FAILED: _QUIET,
}

AFTER = {
    _D.PREPARE: _S.PREPARING,
    _D.ARM: _S.ARMED,
    _D.SHIFT: _S.BAKING,
    _D.ASK: _S.AWAITING,
    _D.MITIGATED: _S.VALIDATING,
    _D.PROMOTE: _S.PROMOTING,
    _D.HOLD: _S.HELD,
    _D.TAKE_BACK: _S.TAKING_BACK,
    _D.TAKEN_BACK: _S.TAKEN_BACK,
    _D.FINISH: _S.DONE,
    _D.CANCEL: _S.CANCELLED,
    _D.GIVE_UP: _S.FAILED,
}
TERMINAL = frozenset({_S.TAKEN_BACK, _S.DONE, _S.CANCELLED, _S.FAILED})
MOVED = frozenset({_S.BAKING, _S.AWAITING, _S.VALIDATING, _S.HELD})
