"""What can go wrong with a lab, each in one sentence for the person who asked."""

from __future__ import annotations


class LabError(Exception):
    """The lab cannot do that; the sentence says why."""

    exit_code = 1


class LabUsageError(LabError):
    """The request names something that does not exist."""

    exit_code = 2


class NotPermittedError(LabError):
    """The machine permits no namespaces, or lacks a tool."""

    exit_code = 3
