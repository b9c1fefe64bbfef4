"""A loopback API server for the real kubectl with one Canary, and a Flagger that asks webhooks.

It takes one look per beat as Flagger does once per interval: phases, hooks and their order, the
hashes by which it knows a new revision, and the zero that it writes while all traffic is on the
canary are read in its source (1.x). Routers, metrics and scalers of a real one it does not have.
"""

import copy
import hashlib
import json
import threading
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

from tests import services
from tests.rollout import plans
from tests.rollout.deployers import cluster
from tests.rollout.deployers.cluster import IMAGE, Json, failure

FLAGGER, APPS = "/apis/flagger.app/v1beta1", "/apis/apps/v1"
CANARY = f"{FLAGGER}/namespaces/shop/canaries/shop"
DEPLOYMENT = f"{APPS}/namespaces/shop/deployments/shop"
TOKEN = "16688eb5e9f289f1991c"
HOOKS = ("confirm-rollout", "confirm-traffic-increase", "confirm-promotion", "rollback")
DISCOVERY: dict[str, Json] = {
    "/api": {"kind": "APIVersions", "versions": ["v1"]},
    "/api/v1": cluster.resources("v1"),
    "/apis": cluster.groups(("flagger.app", "v1beta1"), ("apps", "v1")),
    FLAGGER: cluster.resources("flagger.app/v1beta1", cluster.resource("canaries", "Canary")),
    APPS: cluster.resources("apps/v1", cluster.resource("deployments", "Deployment", "deploy")),
}
GOING = ("Waiting", "Progressing", "WaitingPromotion", "Promoting", "Finalising")


@dataclass
class Flagged:
    """The Canary `shop` in namespace `shop`, its two Deployments, and what goes wrong."""

    folder: Path
    port: int  # where the webhooks should be
    failing: int = 0  # answers with 500
    ready: bool = True  # whether pods of a new version become available
    weight: int = 0  # what the router really does
    paused: bool = False  # Flagger looks at nothing
    asked: list[tuple[str, int]] = field(default_factory=list)  # hook and status code, 0: nobody
    lock: threading.RLock = field(default_factory=threading.RLock)
    objects: dict[str, Json] = field(default_factory=dict)

    @property
    def discovery(self) -> dict[str, Json]:
        return DISCOVERY

    def begin(self) -> "Flagged":
        for path, revision in ((DEPLOYMENT, plans.OLD), (f"{DEPLOYMENT}-primary", plans.OLD)):
            self.objects[path] = deployment(path.rpartition("/")[2], revision)
        self.objects[CANARY] = canary(self.port)
        self.scale(DEPLOYMENT, 0)
        self.scale(f"{DEPLOYMENT}-primary", 2)
        self.status.update(
            phase="Initialized", canaryWeight=0, lastAppliedSpec=self.hash(),
            lastPromotedSpec=self.hash(),
        )  # fmt: skip
        self.server = cluster.serve(self)
        config = json.dumps(cluster.kubeconfig(self.server))
        (self.folder / "config").write_text(config, encoding="utf-8")
        (self.folder / "token").write_text(f"{TOKEN}\n", encoding="utf-8")
        self.over = threading.Event()
        self.beating = threading.Thread(target=self.beat, daemon=True)
        self.beating.start()
        return self

    def end(self) -> None:
        self.over.set()
        self.beating.join()
        self.server.shutdown()
        self.server.server_close()

    def keys(self) -> Json:
        """Return the keys of [service.deploy]."""
        found = services.program("kubectl")
        return {
            "canary": "shop", "container": "shop", "image": IMAGE, "namespace": "shop",
            "kubectl": [str(services.need(found, "kubectl"))],
            "kubeconfig": str(self.folder / "config"), "listen": f"127.0.0.1:{self.port}",
            "token_file": str(self.folder / "token"),
        }  # fmt: skip

    @property
    def status(self) -> Json:
        return dict.__getitem__(self.objects[CANARY], "status")

    @property
    def image(self) -> str:
        """What the watched Deployment asks for."""
        return str(_pod(self.objects[DEPLOYMENT])["containers"][0]["image"])

    def deploy(self, revision: str) -> None:
        """Somebody else asks for a revision."""
        with self.lock:
            _pod(self.objects[DEPLOYMENT])["containers"][0]["image"] = IMAGE.format(
                revision=revision
            )
            self.touch(DEPLOYMENT)

    def touch(self, path: str) -> None:
        meta = self.objects[path]["metadata"]
        meta["resourceVersion"] = str(int(meta["resourceVersion"]) + 1)
        meta["generation"] += 1
        if "deployments" in path:
            self.scale(path, self.objects[path]["spec"]["replicas"])

    def scale(self, path: str, replicas: int) -> None:
        found = self.objects[path]
        found["spec"]["replicas"] = replicas
        up = replicas if self.ready or path.endswith("-primary") else 0
        found["status"] = {
            "observedGeneration": found["metadata"]["generation"],
            "replicas": replicas, "availableReplicas": up, "updatedReplicas": replicas,
        }  # fmt: skip

    # --- what Flagger does

    def beat(self) -> None:
        while not self.over.wait(0.05):
            if not self.paused:
                self.look()

    def look(self) -> None:
        """Take one look, as once per interval."""
        with self.lock:
            status, now = self.status, self.hash()
            changed = now not in (status["lastAppliedSpec"], status["lastPromotedSpec"])
            if status["phase"] == "Failed":
                status["lastAppliedSpec"] = now
            if status["phase"] not in GOING and not changed:
                return
        if self.status["phase"] in ("Waiting", "Initialized", "Succeeded", "Failed"):
            self.say(phase="Progressing", lastAppliedSpec=now, canaryWeight=0)
            if not self.ask("confirm-rollout"):
                self.say(phase="Waiting")
                return
            self.scale(DEPLOYMENT, 2)
            return
        if changed and self.status["phase"] in ("Progressing", "WaitingPromotion"):
            self.weight = 0
            self.say(phase="Progressing", lastAppliedSpec=now, canaryWeight=0)
            return
        if self.objects[DEPLOYMENT]["status"]["availableReplicas"] < 2:
            return
        self.go_on()

    def go_on(self) -> None:
        phase, spec = self.status["phase"], self.objects[CANARY]["spec"]
        if spec.get("skipAnalysis"):
            self.promote()
            self.weight = 0
            self.succeed()
        elif phase in ("Progressing", "WaitingPromotion") and self.ask("rollback"):
            self.weight = 0
            self.scale(DEPLOYMENT, 0)
            self.say(phase="Failed", canaryWeight=0)
        elif phase == "Promoting":
            self.weight = 0
            self.say(phase="Finalising", canaryWeight=0)
        elif phase == "Finalising":
            self.succeed()
        elif phase == "WaitingPromotion" or self.ask("confirm-traffic-increase"):
            self.step(spec["analysis"]["stepWeights"])

    def step(self, steps: list[int]) -> None:
        if self.weight < steps[-1]:
            self.weight = next(one for one in steps if one > self.weight)
            self.say(canaryWeight=self.weight)
        elif self.ask("confirm-promotion"):
            self.promote()
            self.say(phase="Promoting", canaryWeight=0)
        else:
            self.say(phase="WaitingPromotion", canaryWeight=0)

    def promote(self) -> None:
        with self.lock:
            template = copy.deepcopy(self.objects[DEPLOYMENT]["spec"]["template"])
            self.objects[f"{DEPLOYMENT}-primary"]["spec"]["template"] = template
            self.touch(f"{DEPLOYMENT}-primary")

    def succeed(self) -> None:
        self.scale(DEPLOYMENT, 0)
        applied = self.status["lastAppliedSpec"]
        self.say(phase="Succeeded", canaryWeight=0, lastPromotedSpec=applied)

    def say(self, **news: object) -> None:
        with self.lock:
            self.status.update(news)
            meta = self.objects[CANARY]["metadata"]
            meta["resourceVersion"] = str(int(meta["resourceVersion"]) + 1)

    def hash(self) -> str:
        template = json.dumps(self.objects[DEPLOYMENT]["spec"]["template"], sort_keys=True)
        return hashlib.sha256(template.encode()).hexdigest()[:10]

    def ask(self, hook: str) -> bool:
        """Ask our webhooks as Flagger does: up to 202 is a yes, no answer is none."""
        for one in self.objects[CANARY]["spec"]["analysis"]["webhooks"]:
            if one["type"] != hook:
                continue
            code = post(one["url"], question(self.status, one.get("metadata")))
            self.asked.append((hook, code))
            return 200 <= code <= 202
        return hook != "rollback"

    # --- what is asked

    def get(self, path: str) -> tuple[int, Json]:
        with self.lock:
            if path in DISCOVERY:
                return 200, DISCOVERY[path]
            if path in self.objects:
                return 200, copy.deepcopy(self.objects[path])
            return 404, failure(404, "NotFound", f"the server could not find {path}")

    def put(self, path: str, content: Json) -> tuple[int, Json]:
        with self.lock:
            if path not in self.objects:
                return 404, failure(404, "NotFound", f"the server could not find {path}")
            mine = self.objects[path]["metadata"]["resourceVersion"]
            if content["metadata"]["resourceVersion"] != mine:
                return cluster.stale(path, "shop")
            self.objects[path]["spec"] = content["spec"]
            self.touch(path)
            return 200, copy.deepcopy(self.objects[path])


def question(status: Json, metadata: Json | None) -> Json:
    """Return what Flagger's documentation says that it posts."""
    checksum = hashlib.sha256(str(status["lastAppliedSpec"]).encode()).hexdigest()[:10]
    found = {"name": "shop", "namespace": "shop", "phase": status["phase"], "checksum": checksum}
    return found | ({"metadata": metadata} if metadata else {})


def post(address: str, content: object) -> int:
    """Return the status code of a POST, 0 where nobody answers."""
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    asked = urllib.request.Request(  # noqa: S310 - our own loopback
        address, body, {"Content-Type": "application/json"}, method="POST"
    )
    try:
        with urllib.request.urlopen(asked, timeout=10) as answer:  # noqa: S310
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code
    except OSError:
        return 0


def deployment(name: str, revision: str) -> Json:
    image = IMAGE.format(revision=revision)
    return {
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": name, "namespace": "shop", "generation": 1, "resourceVersion": "1"},
        "spec": {
            "replicas": 2,
            "template": {"spec": {"containers": [{"name": "shop", "image": image}]}},
        },
    }  # fmt: skip


def canary(port: int) -> Json:
    webhooks = [
        {
            "name": f"halon {kind}", "type": kind,
            "url": f"http://127.0.0.1:{port}/checkout/{kind}", "metadata": {"token": TOKEN},
        }
        for kind in HOOKS
    ]  # fmt: skip
    return {
        "apiVersion": "flagger.app/v1beta1", "kind": "Canary",
        "metadata": {"name": "shop", "namespace": "shop", "generation": 1, "resourceVersion": "1"},
        "spec": {
            "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "shop"},
            "analysis": {"interval": "10s", "stepWeights": [10, 50, 100], "webhooks": webhooks},
        },
        "status": {},
    }  # fmt: skip


def _pod(found: Json) -> Json:
    pod: Json = found["spec"]["template"]["spec"]
    return pod
