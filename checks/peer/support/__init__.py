"""Support modules that can-isotp's tests import from their own folder; its source packages leave them out."""
