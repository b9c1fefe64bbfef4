"""What steers checks, deploys and dependencies needs a human's word; ordinary code does not."""

import pytest

from incidents.protection import MUST_PASS, NAMED, Protected, protected


@pytest.mark.parametrize(
    "path",
    [
        ".github/workflows/ci.yml", ".gitlab-ci.yml", ".circleci/config.yml", "Jenkinsfile",
        ".pre-commit-config.yaml", "services/shop/.ci/run", "CODEOWNERS", ".gitmodules",
        ".gitattributes", ".husky/pre-commit", "Dockerfile", "docker/web.Dockerfile",
        "docker-compose.prod.yml", "compose.yaml", "Makefile", "deploy/canary.sh",
        "helm/values.yaml", "infra/terraform/main.tf", "main.tf", "Procfile",
        "checkout.service", "package-lock.json",
        "web/yarn.lock", "poetry.lock", "uv.lock", "requirements.txt", "requirements-dev.txt",
        "go.sum", "Cargo.lock", "Gemfile.lock", ".npmrc", ".claude/settings.json", "CLAUDE.md",
        "docs/.mcp.json", "halon.toml", "dockerfile", "conftest.py", "tests/conftest.py",
        "pytest.ini", "sitecustomize.py", "jest.config.js", "lib/skip.pth",
    ],
)  # fmt: skip
def test_what_steers_others_is_protected(path: str) -> None:
    assert [path] == [one.path for one in protected([path])]


@pytest.mark.parametrize(
    "path",
    [
        "checkout/shop.py", "checkout/deployment.py", "src/compose.py", "docs/makefiles.md",
        "config/settings.toml", "src/lock.py", "tests/test_shop.py", "service.py", "github.py",
        "requirements.md", "package.json", "pyproject.toml",
    ],
)  # fmt: skip
def test_ordinary_files_are_not(path: str) -> None:
    assert () == protected([path])


def test_the_service_and_the_tests_of_the_fix_name_more() -> None:
    found = protected(
        ["pay/money.py", "tests/test_a.py", "tests/test_b.py", "pay/money.py"],
        named=["pay/*"],
        must_pass=["tests/test_a.py"],
    )

    assert (
        Protected("pay/money.py", NAMED),
        Protected("tests/test_a.py", MUST_PASS),
    ) == found
    assert "tests/test_a.py (a test that the fix must pass)" == str(found[1])
