"""The version of the package: the one place that says it."""

__version__ = "2.1.0"
