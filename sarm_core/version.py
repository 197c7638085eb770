"""The version of the tool, in one place."""

__all__ = ["VERSION"]

VERSION = "0.2.0"
