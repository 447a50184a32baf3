"""Names of what the sessions of a log were like, in figures: what `isotp stats` tells."""

from isotp._extras import extra

extra("numpy", "isotp.figures", "tables")

from isotp.bulk._figures import SessionFigures, session_figures  # noqa: E402
from isotp.bulk._uds_figures import ServiceFigures  # noqa: E402

__all__ = ["ServiceFigures", "SessionFigures", "session_figures"]
