"""What a single role is given in place of what the others would have found: words, a diff, a file.

Called by workers for roles that a person asks for alone, and by the shell verbs. The text is
untrusted: it is read as a traceback, a commit's name or a diff, and never as a command.
"""

import hashlib
import json
import re
from dataclasses import replace

from pydantic import ValidationError

from agents import git, gitcalls
from agents.case import Case
from agents.engine import Role
from incidents import errors, reports
from incidents.models import Verdict

PERSON = "a person"
SHA = re.compile(r"\b[0-9a-f]{7,40}\b")
DIFF = re.compile(r"^(?:diff --git |--- \S)", re.MULTILINE)
MOST_CHARACTERS = 4 * 1024 * 1024


def add(case: Case, role: Role, text: str, repository: git.Repository) -> Case:
    """Return the case with what a person's words bring to a role; raises PermanentFailure."""
    if not text.strip():
        return case
    if role is Role.HOTFIX_TESTER and DIFF.search(text):
        return replace(case, patch=patch(text, repository, case.revision))
    if role is Role.PATCH_DEVELOPER and (named := _commit(text, repository)):
        return replace(case, diagnosis=_blamed(named, case, repository))
    if role is Role.BUG_DIAGNOSTICIAN:
        return replace(case, traces=(*case.traces, text))
    return case


def patch(text: str, repository: git.Repository, revision: str) -> reports.Patch:
    """Return a diff that a person gives as a patch; raises PermanentFailure if it does not fit."""
    found = DIFF.search(text)
    diff = text[found.start() :] if found else ""
    diff = diff if diff.endswith("\n") else f"{diff}\n"
    if found is None or len(diff) > MOST_CHARACTERS:
        raise errors.PermanentFailure("This is no unified diff; give what `git diff` prints.")
    base = repository.resolve(revision)
    try:
        tree = repository.apply(base, diff)
    except gitcalls.GitFailed as error:
        raise errors.PermanentFailure(
            f"The diff does not apply to {base[:12]}: {error.reason} Make it against that revision."
        ) from error
    digest = hashlib.sha256(diff.encode("utf-8", "surrogateescape")).hexdigest()
    return reports.Patch(
        engine=PERSON,
        remedy=reports.RemedyKind.EDIT,
        title="The diff that was given",
        diff=diff,
        digest=digest,
        base=base,
        tree=tree,
        paths=tuple(change.path for change in repository.diff_trees(base, tree)),
        rollback=f"git apply -R halon-{digest[:12]}.patch",
        gaps=("a person gave it: why it is minimal is not known",),
    )


def _commit(text: str, repository: git.Repository) -> str | None:
    """Return the first commit that a text names, None for none."""
    for name in SHA.findall(text):
        try:
            return repository.resolve(name)
        except git.UnknownRevision:
            continue
    return None


def _blamed(commit: str, case: Case, repository: git.Repository) -> reports.Diagnosis:
    """Return a person's word that a commit is guilty: LIKELY at most, for nothing was re-run."""
    return reports.Diagnosis(
        engine=PERSON,
        verdict=Verdict.LIKELY,
        summary=f"A person named {commit[:12]}; nothing was re-run.",
        revision=repository.resolve(case.revision),
        culprit=commit,
        root_cause=reports.RootCause(statement=f"{commit[:12]} was named.", commit=commit),
    )


def from_file(
    text: str, repository: git.Repository, revision: str
) -> tuple[reports.Patch, reports.Diagnosis | None]:
    """Read a file for the tester: a diff, or the object that `halon fix --json` printed.

    The object brings its diagnosis too, where it has one. Raises PermanentFailure.
    """
    if not text.lstrip().startswith("{"):
        return patch(text, repository, revision), None
    try:
        table = json.loads(text)
        body = dict(table.pop("patch") or {})
        made = reports.Patch.model_validate(body | {"kind": "patch"})
        kept = {name: table[name] for name in reports.Diagnosis.model_fields if name in table}
        found = reports.Diagnosis.model_validate(kept) if "verdict" in kept else None
    except (ValueError, KeyError, TypeError, AttributeError, ValidationError) as error:
        raise errors.PermanentFailure(
            "This file holds no patch; give a diff, or what `halon fix --json` printed."
        ) from error
    return made, found
