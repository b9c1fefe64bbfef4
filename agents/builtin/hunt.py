"""Names the commits with which a failure may have begun, as fast as one replay per revision tells.

Called by the hotfix role when nothing near the crash holds. It convicts nobody: whoever takes one
of them out shows by replays whether the failure goes with it.
"""

from collections.abc import Sequence

from agents.builtin import goodrevision, pins
from agents.builtin.proof import Proof
from agents.builtin.scene import Scene
from agents.builtin.symptom import Symptom

MOST = 3


def commits(symptom: Symptom, scene: Scene, scores: dict[str, float]) -> list[str]:
    """Return the commits that may have begun it, likeliest first; none without a good revision."""
    if scene.target is None:
        return []
    source = symptom.bench.source
    proof = Proof(
        source, scene.replays, scene.target, symptom.head, symptom.head,
        scene.pinned, symptom.head, scores, rounds=1,
    )  # fmt: skip

    def test(revisions: Sequence[str]) -> list[str]:
        trees = [proof.tree(revision) for revision in revisions]
        scene.replays.at_least(trees, 1)
        return [proof.mark_of(tree) for tree in trees]

    released = goodrevision.deploys(source, symptom.bench.case, symptom.head)
    options = goodrevision.candidates(source, released, None, symptom.head)
    good, _ = goodrevision.nearest(options, test)
    if good is None:
        return []
    _, members, _ = proof.narrow(good.revision, source.chain(good.revision, symptom.head))
    may = [one for one in members if not all(pins.testlike(path) for path in source.paths(one))]
    return sorted(may, key=lambda one: -scores.get(one, 0.0))[:MOST]
