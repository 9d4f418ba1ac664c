"""Attacks on inputs: budget, result, descent, objectives, controls. Import from the modules."""
