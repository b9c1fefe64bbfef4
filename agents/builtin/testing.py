from agents.builtin.workbench import Workbench
from incidents import reports


def test(bench: Workbench) -> reports.Report:
    raise NotImplementedError
