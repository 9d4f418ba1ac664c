"""Names of chapters and of folders of results, checked before they become part of a path. Reads and writes nothing."""

import re

from robustxai.claims.ledger import PROFILES

FOLDERS = (*PROFILES, "bench")
"""The folders of results: the profiles, and the benchmarks."""


def check_chapter(chapter: object) -> str:
    """A chapter's name: letters, digits and underscores, no path. Raises ValueError.

    >>> check_chapter("diffgradcam")
    'diffgradcam'
    """
    if not isinstance(chapter, str) or not re.fullmatch(r"[A-Za-z0-9_]+", chapter):
        raise ValueError(f"chapter must be a name of letters, digits and underscores, got {chapter!r}")
    return chapter


def check_profile(profile: object) -> str:
    """A folder of results. Raises ValueError."""
    if profile not in FOLDERS:
        raise ValueError(f"profile must be one of {', '.join(FOLDERS)}, got {profile!r}")
    return str(profile)
