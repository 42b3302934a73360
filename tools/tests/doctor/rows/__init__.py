"""One row for each way in which the pair fails to connect; importing the modules fills ROWS."""

from tools.tests.doctor.rows import admitting, clicking, reaching
from tools.tests.doctor.rows.row import ROWS, Row

__all__ = ["ROWS", "Row", "admitting", "clicking", "reaching"]
