from agents.builtin.workbench import Workbench
from incidents import reports


def review(bench: Workbench) -> reports.Report:
    raise NotImplementedError
