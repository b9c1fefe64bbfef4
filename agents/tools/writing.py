"""The tools of a role that writes: all that read, and editing and running.

Called by the duties that mend and contain. A role that only reads must never be given them.
"""

from agents.tools import editing, history, logquery, reading, running
from agents.tools.contract import Tool
from agents.tools.desk import Desk


def tools(desk: Desk) -> list[Tool]:
    """Return what a role that writes may use at its desk."""
    return [
        *reading.tools(desk), *logquery.tools(desk), *history.tools(desk),
        *editing.tools(desk), running.tests_tool(desk), running.reproduce_tool(desk),
    ]  # fmt: skip
