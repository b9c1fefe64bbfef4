from agents.builtin.workbench import Workbench
from incidents import reports


def patch(bench: Workbench) -> reports.Report:
    raise NotImplementedError
