"""The arena: every explainer under every attack with every defence, with the controls that keep it honest.

The only room that imports chapters. Import from the modules: `evaluate` is the loop, `registry` holds what enters it.
`audit` is the same loop on a user's own network and images.
"""

from robustxai.arena.auditing.audit import audit
from robustxai.arena.auditing.report import Report
from robustxai.arena.auditing.subject import AuditData

__all__ = ["AuditData", "Report", "audit"]
