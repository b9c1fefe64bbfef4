"""Protected paths: files whose change needs a human's word, whoever or whatever wrote it.

Pure. Asked by both engines, the deploy stage, the controller and the question to approvers. A path
is protected because of what it steers (the team's checks, its deploys, its dependencies), because
the service's settings name it, or because it is a test that the fix must pass.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase

# (why, what the path looks like), from the root of the repository, first match wins.
KINDS: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (why, re.compile(rf"(?:^|/)(?:{pattern})", re.IGNORECASE))
    for why, pattern in (
        (
            "git's own settings",
            r"\.git(?:/|$)|\.gitmodules$|\.gitattributes$|\.githooks/|\.husky/|\.lfsconfig$",
        ),
        (
            "the team's checks",
            r"\.github/|\.gitea/|\.forgejo/|\.gitlab-ci[^/]*$|\.gitlab/ci/|\.circleci/|\.buildkite/"
            r"|\.woodpecker|\.drone\.ya?ml$|\.travis\.yml$|\.ci/|Jenkinsfile|azure-pipelines"
            r"|bitbucket-pipelines\.yml$|appveyor\.yml$|cloudbuild\.ya?ml$|\.pre-commit-config"
            r"|buildspec\.ya?ml$|tox\.ini$|noxfile\.py$|CODEOWNERS$",
        ),
        (
            "how it is built and deployed",
            r"(?:[^/]*\.)?Dockerfile[^/]*$|Containerfile[^/]*$|(?:docker-)?compose[^/]*\.ya?ml$"
            r"|\.dockerignore$|Procfile$|(?:GNU)?Makefile$|justfile$|Taskfile\.ya?ml$|Vagrantfile$"
            r"|(?:helm|charts?|k8s|kubernetes|kustomize|terraform|ansible|pulumi|deploy|deployment"
            r"|\.deploy)/|Chart\.yaml$|kustomization\.ya?ml$|skaffold\.ya?ml$|[^/]*\.tf(?:vars)?$"
            r"|[^/]*\.tf\.json$|serverless\.ya?ml$|fly\.toml$|netlify\.toml$"
            r"|vercel\.json$|render\.yaml$|[^/]*\.service$|haproxy[^/]*\.cfg$|nginx[^/]*\.conf$"
            r"|halon\.toml$",
        ),
        (
            "which dependencies run",
            r"package-lock\.json$|npm-shrinkwrap\.json$|yarn\.lock$|pnpm-lock\.yaml$|bun\.lockb?$"
            r"|poetry\.lock$|uv\.lock$|pdm\.lock$|Pipfile\.lock$|pylock[^/]*\.toml$"
            r"|requirements[^/]*\.(?:txt|in)$|constraints[^/]*\.txt$|Cargo\.lock$|go\.sum$"
            r"|Gemfile\.lock$|composer\.lock$|mix\.lock$|pubspec\.lock$|gradle\.lockfile$"
            r"|packages\.lock\.json$|paket\.lock$|flake\.lock$|deno\.lock$|Package\.resolved$"
            r"|\.npmrc$|\.yarnrc(?:\.yml)?$|pip\.conf$",
        ),
        (
            "how it is tested",
            r"conftest\.py$|\.?pytest\.ini$|setup\.cfg$|(?:site|user)customize\.py$"
            r"|(?:jest|vitest|karma|playwright|cypress)\.conf(?:ig)?\.[cm]?[jt]s$"
            r"|\.mocharc[^/]*$|phpunit\.xml(?:\.dist)?$|\.rspec$|\.coveragerc$|[^/]*\.pth$",
        ),
        (
            "what steers agents and editors",
            r"\.claude/|CLAUDE\.md$|AGENTS\.md$|\.mcp\.json$|\.cursor/|\.cursorrules$|\.vscode/"
            r"|\.idea/|\.envrc$|\.devcontainer",
        ),
    )
)
MUST_PASS = "a test that the fix must pass"  # noqa: S105 - no password
NAMED = "named in halon.toml"


@dataclass(frozen=True)
class Protected:
    """One changed path, and why a human has to say yes to it."""

    path: str
    why: str

    def __str__(self) -> str:
        return f"{self.path} ({self.why})"


def protected(
    paths: Iterable[str], named: Iterable[str] = (), must_pass: Iterable[str] = ()
) -> tuple[Protected, ...]:
    """Return those of the changed paths that are protected, in their order.

    `named` are the service's globs, `must_pass` the paths of the tests that the fix must pass.
    """
    globs, tests = tuple(named), frozenset(must_pass)
    found = ((path, _why(path, globs, tests)) for path in dict.fromkeys(paths))
    return tuple(Protected(path, why) for path, why in found if why)


def _why(path: str, globs: tuple[str, ...], tests: frozenset[str]) -> str:
    if path in tests:
        return MUST_PASS
    if any(fnmatchcase(path, glob) for glob in globs):
        return NAMED
    return next((why for why, pattern in KINDS if pattern.search(path)), "")
