"""A real nginx: shares as commanded, a refused file taken back, and what a reload costs said."""

import json
import os
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from incidents import errors
from rollout import nginxfile
from rollout.deployers import nginx
from tests import services
from tests.rollout import plans, service_under_test
from tests.rollout.deployers import hook
from tests.rollout.deployers.site import Connection
from tests.rollout.deployers.team import Team
from tests.rollout.production import Load, until

PLAN = plans.made(last_good_revision=None)
SETTINGS = """
{user}
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    upstream shop {{ server unix:{folder}/team/stable.sock; }}
    upstream shop_canary {{ server unix:{folder}/team/canary.sock; }}
    include {folder}/halon.conf;
    server {{
        listen unix:{folder}/public.sock;
        listen 127.0.0.1:{port};
        location = /halon {{ return 200 "$halon_percent"; }}
        location / {{ proxy_pass http://$halon_upstream; }}
    }}
}}
"""


@dataclass
class Site:
    """nginx in front of the team's servers."""

    folder: Path
    team: Team
    keys: dict[str, Any]
    process: subprocess.Popen[bytes] | None = field(default=None)

    @classmethod
    def begin(cls, folder: Path) -> "Site":
        found = services.program("nginx", beside=[Path("/usr/sbin"), Path("/usr/local/sbin")])
        program = str(services.need(found, "nginx"))
        team = Team.begin(
            folder / "team", service=str(Path(service_under_test.__file__)), stable=None
        )
        environment = {"HALON_HOOK": "take_back", "HALON_TO": plans.OLD, "HALON_REVISION": ""}
        subprocess.run(team.argv(), env=environment, check=True)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        argv = [program, "-p", str(folder), "-c", str(folder / "nginx.conf")]
        keys = {
            **team.hooks(),
            "include": str(folder / "halon.conf"), "stable": "shop", "canary": "shop_canary",
            "status": f"http://127.0.0.1:{port}/halon", "allow_drops": True,
            "test": [*argv, "-t"], "reload": [*argv, "-s", "reload"],
        }  # fmt: skip
        user = "user root;" if os.geteuid() == 0 else ""
        text = SETTINGS.format(folder=folder, port=port, user=user)
        (folder / "nginx.conf").write_text(text, encoding="utf-8")
        made = cls(folder, team, keys)
        (folder / "halon.conf").write_text(made.include().content(0), encoding="utf-8")
        made.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL)
        until(lambda: (folder / "public.sock").exists(), what="nginx's socket")
        return made

    def include(self) -> nginxfile.Include:
        made = nginx.Nginx("shop", self.settings(), self.folder / "halon")._switch
        assert isinstance(made, nginxfile.Include)
        return made

    def settings(self, **other: Any) -> nginx.Settings:
        return nginx.Settings.model_validate({**self.keys, **other})

    def connect(self) -> Connection:
        return Connection(self.folder / "public.sock")

    def end(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(20)
        for side in ("stable", "canary"):
            hook.stop(self.team.world().get(f"{side}_pid"))


@pytest.fixture
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    made = Site.begin(tmp_path_factory.mktemp("nginx"))
    yield made
    made.end()


@pytest.mark.service
def test_a_whole_rollout_and_each_share_as_nginx_says_it(site: Site) -> None:
    made = nginx.Nginx("shop", site.settings(), site.folder / "halon")
    assert [] == [p.text for p in made.preflight(PLAN) if p.fatal]
    assert not made.abilities.drop_free
    assert (0, plans.NEW) == (made.prepare(PLAN, "1").weight, made.observe().canary_revision)
    with Load(site, clients=2, keep_alive=False, pause=0.002).running() as load:
        for percent in (10, 50, 100):
            assert percent == made.set_weight(percent, "1").weight
            load.revisions.clear()
            load.at_least(300)
            share = load.revisions[plans.NEW] / sum(load.revisions.values())
            assert abs(share - percent / 100) <= 0.1
        assert (0, plans.NEW) == (made.promote("1").weight, made.observe().stable_revision)
    assert {"200"} == set(load.statuses)


@pytest.mark.service
def test_the_way_back_works_with_halon_dead(site: Site) -> None:
    made = nginx.Nginx("shop", site.settings(), site.folder / "halon")
    made.prepare(PLAN, "1")
    made.set_weight(50, "1")
    argv = made.take_back_argv(plans.OLD, "newest")
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    assert (0, "") == (done.returncode, done.stderr)
    assert {"weight": 0, "stable": plans.OLD, "trouble": None} == json.loads(done.stdout)


@pytest.mark.service
def test_a_file_that_nginx_refuses_is_taken_back_and_said(site: Site) -> None:
    made = site.include()
    before = (site.folder / "halon.conf").read_text(encoding="utf-8")
    with (site.folder / "nginx.conf").open("a", encoding="utf-8") as file:
        file.write("nonsense;\n")
    with pytest.raises(errors.TemporaryFailure, match=r"did not take 10 %.*nonsense"):
        made.set(10)
    assert before == (site.folder / "halon.conf").read_text(encoding="utf-8")
    assert 0 == made.read().weight


@pytest.mark.service
def test_it_is_refused_unless_losing_requests_is_allowed(site: Site) -> None:
    made = nginx.Nginx("shop", site.settings(allow_drops=False), site.folder / "halon")
    (text,) = [problem.text for problem in made.preflight(PLAN) if problem.fatal]
    assert "allow_drops" in text


def test_a_dead_nginx_is_unseen_and_never_zero(tmp_path: Path) -> None:
    made = nginxfile.Include(str(tmp_path / "h"), "a", "b", "http://127.0.0.1:9/halon")
    with pytest.raises(errors.TemporaryFailure, match="does not say"):
        made.read()


@pytest.mark.parametrize(
    "wrong", [{"canary": "a; }"}, {"key": '"; return 200'}, {"status": "file:///etc/passwd"}]
)
def test_settings_cannot_smuggle_anything_into_the_file(wrong: dict[str, str]) -> None:
    keys = {
        **{name: ["true"] for name in ("prepare", "observe", "promote", "take_back")},
        "include": "/tmp/h.conf", "stable": "a", "canary": "b", "status": "http://127.0.0.1/h",
    }  # fmt: skip
    nginx.Settings.model_validate(keys)
    with pytest.raises(ValidationError):
        nginx.Settings.model_validate({**keys, **wrong})
