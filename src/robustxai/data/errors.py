"""What can go wrong between a name and its arrays, one class and one sentence each.

A wrong name or split is the caller's mistake (ValueError); files and networks are the machine's (OSError).
"""

OFFLINE = ("menagerie", "digits", "breast_cancer")


class UnknownDataset(ValueError):
    """No set has this name."""


class UnknownSplit(ValueError):
    """The set has no such split."""


class ChecksumError(OSError):
    """A file is not the one the catalog describes; it was not used."""


class DownloadError(OSError):
    """A download broke off or could not start; nothing was kept."""


class NotAvailable(OSError):
    """The set is not on this machine and may not, or cannot, be downloaded."""


def offline_sets() -> str:
    """The end of every sentence about a missing file: what works without one."""
    return f"sets that need no file: {', '.join(OFFLINE)}"
