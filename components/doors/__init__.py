"""Who may do what on the page: logins, roles, sessions, files. `launch` of `components.build` puts it before the page."""

from components.doors.admission import admitted
from components.doors.blocks import GuardedBlocks
from components.doors.doors import Doors
from components.doors.visits import Visits

__all__ = ["Doors", "GuardedBlocks", "Visits", "admitted"]
