"""Names of what finds the sessions of a log."""

from isotp.bulk._discovery import Discovery, FoundSession, LineEvidence, Reason, discover

__all__ = ["Discovery", "FoundSession", "LineEvidence", "Reason", "discover"]
