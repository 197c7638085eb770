"""Logs of completions, one format a file; a new one is a class in a file of its own and its line in `LOGS`."""

from sarm_core.watch.logs.base import LogFile, LogFormat, Logged
from sarm_core.watch.logs.json_lines import JsonLines
from sarm_core.watch.logs.trl_parquet import TRLParquet

__all__ = ["LOGS", "LogFile", "LogFormat", "Logged"]

LOGS: tuple[LogFormat, ...] = (TRLParquet(), JsonLines())
