"""A loopback API server for the real kubectl: discovery, one Rollout, its ReplicaSets, and Argo.

It keeps resource versions and refuses stale ones as a real one does, and moves on like Argo's
controller whenever something was written. It can answer 500, be overtaken by others, or be slow to
become ready. What a real Argo would do beyond the fields used here, it does not know.
"""

import copy
import hashlib
import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Protocol

from tests import services
from tests.rollout import plans

Json = dict[str, Any]
IMAGE = "registry.test/shop:{revision}"
STEPS: list[Json] = [
    {"setCanaryScale": {"replicas": 1}},
    {"pause": {}},
    {"setCanaryScale": {"matchTrafficWeight": True}},
    {"setWeight": 10},
    {"pause": {}},
    {"setWeight": 50},
    {"pause": {}},
    {"setWeight": 100},
    {"pause": {}},
]
ARGO, APPS = "/apis/argoproj.io/v1alpha1", "/apis/apps/v1"
PLACE = f"{ARGO}/namespaces/shop/rollouts/shop"


def resource(name: str, kind: str, *more: str) -> Json:
    return {
        "name": name, "singularName": "", "namespaced": True, "kind": kind,
        "verbs": ["get", "list", "update"], "shortNames": list(more),
    }  # fmt: skip


def groups(*found: tuple[str, str]) -> Json:
    return {
        "kind": "APIGroupList", "apiVersion": "v1",
        "groups": [
            {"name": group, "versions": [{"groupVersion": f"{group}/{v}", "version": v}],
             "preferredVersion": {"groupVersion": f"{group}/{v}", "version": v}}
            for group, v in found
        ],
    }  # fmt: skip


def resources(group: str, *found: Json) -> Json:
    return {
        "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group,
        "resources": list(found),
    }  # fmt: skip


DISCOVERY: dict[str, Json] = {
    "/api": {"kind": "APIVersions", "versions": ["v1"]},
    "/api/v1": resources("v1"),
    "/apis": groups(("argoproj.io", "v1alpha1"), ("apps", "v1")),
    ARGO: resources(
        "argoproj.io/v1alpha1", resource("rollouts", "Rollout"),
        resource("rollouts/status", "Rollout"),
    ),
    APPS: resources("apps/v1", resource("replicasets", "ReplicaSet", "rs")),
}  # fmt: skip


@dataclass
class Cluster:
    """The one Rollout `shop` in namespace `shop`, and what goes wrong with it."""

    folder: Path
    steps: list[Json] = field(default_factory=lambda: copy.deepcopy(STEPS))
    failing: int = 0  # answers with 500
    overtaken: int = 0  # writes before which somebody else writes
    ready: bool = True  # whether pods of a new version become available
    lock: threading.RLock = field(default_factory=threading.RLock)
    written: list[str] = field(default_factory=list)
    sets: dict[str, Json] = field(default_factory=dict)
    rollout: Json = field(default_factory=dict)

    @property
    def discovery(self) -> dict[str, Json]:
        return DISCOVERY

    def begin(self) -> "Cluster":
        self.rollout = {
            "apiVersion": "argoproj.io/v1alpha1",
            "kind": "Rollout",
            "metadata": {
                "name": "shop", "namespace": "shop", "uid": "u-1", "generation": 1,
                "resourceVersion": "1",
            },
            "spec": {
                "replicas": 4,
                "selector": {"matchLabels": {"app": "shop"}},
                "strategy": {"canary": {"trafficRouting": {"nginx": {}}, "steps": self.steps}},
                "template": {
                    "metadata": {"labels": {"app": "shop"}},
                    "spec": {"containers": [
                        {"name": "sidecar", "image": "registry.test/proxy:1"},
                        {"name": "shop", "image": IMAGE.format(revision=plans.OLD)},
                    ]},
                },
            },
            "status": {},
        }  # fmt: skip
        self.reconcile()
        self.rollout["status"].update(stableRS=self.hash())
        self.reconcile()
        self.server = serve(self)
        (self.folder / "config").write_text(json.dumps(self.kubeconfig()), encoding="utf-8")
        return self

    def end(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    def kubeconfig(self) -> Json:
        return kubeconfig(self.server)

    def keys(self) -> Json:
        """Return the keys of [service.deploy]."""
        found = services.program("kubectl")
        return {
            "rollout": "shop", "container": "shop", "image": IMAGE, "namespace": "shop",
            "kubectl": [str(services.need(found, "kubectl"))],
            "kubeconfig": str(self.folder / "config"),
        }  # fmt: skip

    # --- what people and others do

    def deploy(self, revision: str) -> None:
        """Somebody else asks for a revision."""
        with self.lock:
            self.rollout["spec"]["template"]["spec"]["containers"][1]["image"] = IMAGE.format(
                revision=revision
            )
            self.touch(spec=True)

    def touch(self, *, spec: bool = False) -> None:
        meta = self.rollout["metadata"]
        meta["resourceVersion"] = str(int(meta["resourceVersion"]) + 1)
        meta["generation"] += spec
        self.reconcile()

    # --- what Argo does

    def hash(self) -> str:
        template = json.dumps(self.rollout["spec"]["template"], sort_keys=True)
        return hashlib.sha256(template.encode()).hexdigest()[:10]

    def reconcile(self) -> None:
        """Go on to the next pause; an abort and a promotion are at once."""
        status, spec = self.rollout["status"], self.rollout["spec"]
        newest, stable = self.hash(), status.get("stableRS")
        if status.get("currentPodHash") != newest:
            status.update(
                currentPodHash=newest, currentStepIndex=0, pauseConditions=None, abort=False,
                promoteFull=False,
            )  # fmt: skip
        self.sets.setdefault(newest, self.new_set(newest))
        status["observedGeneration"] = str(self.rollout["metadata"]["generation"])
        if status.get("promoteFull") and newest != stable:
            status.update(stableRS=newest, pauseConditions=None, promoteFull=False)
            stable = newest
        self.scale(stable, spec["replicas"])
        if newest == stable or stable is None:
            status.update(phase="Healthy", currentStepIndex=len(self.steps), message="")
            status.setdefault("canary", {})["weights"] = None
        elif status.get("abort"):
            status.update(phase="Degraded", message="RolloutAborted: aborted by a person")
            self.weigh(0)
        else:
            self.walk()

    def walk(self) -> None:
        status, steps = self.rollout["status"], self.steps
        index = int(status.get("currentStepIndex") or 0)
        self.scale(status["currentPodHash"], 1)
        status.setdefault("canary", {}).setdefault("weights", None)
        if status["canary"]["weights"] is None:
            self.weigh(0)
        # A pause that was waited at and whose conditions were taken away is over.
        if index < len(steps) and "pause" in steps[index] and self.paused == index:
            if status.get("pauseConditions"):
                return
            index += 1
        while index < len(steps) and "pause" not in steps[index]:
            if "setWeight" in steps[index]:
                self.weigh(steps[index]["setWeight"])
            index += 1
        status.update(currentStepIndex=index, phase="Progressing")
        if index >= len(steps):
            status.update(promoteFull=True)
            self.reconcile()
            return
        self.paused = index
        status.update(phase="Paused", pauseConditions=[{"reason": "CanaryPauseStep"}])

    paused: int = -1

    def weigh(self, percent: int) -> None:
        self.rollout["status"].setdefault("canary", {})["weights"] = {
            "canary": {"weight": percent},
            "stable": {"weight": 100 - percent},
        }

    def new_set(self, name: str) -> Json:
        return {
            "apiVersion": "apps/v1", "kind": "ReplicaSet",
            "metadata": {
                "name": f"shop-{name}", "namespace": "shop",
                "labels": {"app": "shop", "rollouts-pod-template-hash": name},
                "ownerReferences": [{"uid": "u-1", "kind": "Rollout", "name": "shop"}],
            },
            "spec": {"replicas": 0, "template": copy.deepcopy(self.rollout["spec"]["template"])},
            "status": {},
        }  # fmt: skip

    def scale(self, name: str | None, replicas: int) -> None:
        if name in self.sets:
            old = name == self.rollout["status"].get("stableRS")
            self.sets[name]["spec"]["replicas"] = replicas
            available = replicas if self.ready or old else 0
            self.sets[name]["status"] = {"availableReplicas": available}

    # --- what is asked

    def get(self, path: str) -> tuple[int, Json]:
        with self.lock:
            if path in DISCOVERY:
                return 200, DISCOVERY[path]
            if path == PLACE:
                return 200, copy.deepcopy(self.rollout)
            if path == f"{APPS}/namespaces/shop/replicasets":
                items = list(copy.deepcopy(self.sets).values())
                return 200, {"kind": "ReplicaSetList", "apiVersion": "apps/v1", "items": items}
            return 404, failure(404, "NotFound", f"the server could not find {path}")

    def put(self, path: str, content: Json) -> tuple[int, Json]:
        with self.lock:
            if self.overtaken > 0:
                self.overtaken -= 1
                self.rollout["metadata"].setdefault("annotations", {})["other"] = path
                self.touch()
            if (
                content["metadata"]["resourceVersion"]
                != self.rollout["metadata"]["resourceVersion"]
            ):
                return stale("rollouts.argoproj.io", "shop")
            self.written.append(path)
            if path == f"{PLACE}/status":
                self.rollout["status"] = content["status"]
                self.touch()
            elif path == PLACE:
                self.rollout["spec"] = content["spec"]
                self.touch(spec=True)
            else:
                return 404, failure(404, "NotFound", f"the server could not find {path}")
            return 200, copy.deepcopy(self.rollout)


def kubeconfig(server: ThreadingHTTPServer) -> Json:
    address = f"http://127.0.0.1:{server.server_port}"
    return {
        "apiVersion": "v1", "kind": "Config", "current-context": "test",
        "clusters": [{"name": "test", "cluster": {"server": address}}],
        "users": [{"name": "test", "user": {}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
    }  # fmt: skip


def stale(kind: str, name: str) -> tuple[int, Json]:
    text = (
        f'Operation cannot be fulfilled on {kind} "{name}": the object has been modified; please '
        "apply your changes to the latest version and try again"
    )
    return 409, failure(409, "Conflict", text)


class Api(Protocol):
    """What is served: discovery, and objects that are read and written."""

    failing: int

    @property
    def discovery(self) -> dict[str, Json]: ...
    def get(self, path: str) -> tuple[int, Json]: ...
    def put(self, path: str, content: Json) -> tuple[int, Json]: ...


def serve(api: Api) -> ThreadingHTTPServer:
    handler = type("Handler", (_Handler,), {"cluster": api})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    return server


def failure(code: int, reason: str, text: str) -> Json:
    return {
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "message": text,
        "reason": reason, "code": code,
    }  # fmt: skip


class _Handler(BaseHTTPRequestHandler):
    cluster: Api

    def do_GET(self) -> None:
        self._answer(*self.cluster.get(self.path.partition("?")[0]))

    def do_PUT(self) -> None:
        content = json.loads(self._body())
        self._answer(*self.cluster.put(self.path.partition("?")[0], content))

    def _body(self) -> bytes:
        """Return what was sent; kubectl sends a raw PUT in chunks."""
        if "Content-Length" in self.headers:
            return self.rfile.read(int(self.headers["Content-Length"]))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _answer(self, code: int, content: Json) -> None:
        discovery = self.path.partition("?")[0] in self.cluster.discovery
        if self.cluster.failing > 0 and not discovery:
            self.cluster.failing -= 1
            code, content = 500, failure(500, "InternalError", "etcdserver: leader changed")
        body = json.dumps(content).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing."""
