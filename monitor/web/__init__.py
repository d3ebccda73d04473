"""The pages and the API.

Law: a page looks and asks; the loop decides. Nothing here holds up an alarm, and nothing leaves the host.
"""

from monitor.web.application import Site, build
from monitor.web.house import DrillRuns, Export, Options
from monitor.web.server import Server
from monitor.web.users import ROLES, Users

__all__ = ["ROLES", "DrillRuns", "Export", "Options", "Server", "Site", "Users", "build"]
