"""Verdicts as pages show them: a word with a sign, so that colour is never the only carrier, and what the word means.

Pure text. Knows nothing about where a badge stands.
"""

import html

from robustxai.claims.forest import MARKS

SIGNS = {
    "reproduced": "✓",
    "partly": "◐",
    "undecided": "?",
    "depends on an unknown": "⁇",
    "contradicted": "✗",
    "not attempted": "–",
}
MEANINGS = {
    "reproduced": "The value and its whole interval satisfy the rule.",
    "partly": "The rule holds in some of the settings that were named beforehand, and not in others.",
    "undecided": "The interval contains the bound: with this many networks and images it is open.",
    "depends on an unknown": "The verdict turns with a choice that the paper does not state.",
    "contradicted": "The whole interval violates the rule.",
    "not attempted": "It was not run here, or its premise does not hold here.",
}
"""Verdict -> what it means, shown to who points at a badge."""


def badge_html(verdict: str) -> str:
    """The HTML of a verdict. Raises ValueError for a word that is no verdict.

    >>> badge_html("reproduced")[:57]
    '<span class="ea-badge ea-ok" title="The value and its who'
    """
    if verdict not in SIGNS:
        raise ValueError(f"verdict {verdict!r} is not known; accepted: {', '.join(SIGNS)}")
    sign = f'<span aria-hidden="true">{SIGNS[verdict]}</span>'
    title = html.escape(MEANINGS[verdict], quote=True)
    return f'<span class="ea-badge ea-{MARKS[verdict]}" title="{title}">{sign} {verdict}</span>'


def claim_anchor(identifier: str, prefix: str = "claim") -> str:
    """The anchor of a claim: of its block in the report, or, with the prefix "measured", of its badge in a chapter.

    >>> claim_anchor("ace.bare_filter", "measured")
    'measured-ace-bare-filter'
    """
    return f"{prefix}-" + identifier.replace(".", "-").replace("_", "-")
