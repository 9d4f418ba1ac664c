"""Attacks on inputs that several chapters share: budget, result, descent, objectives, controls. Import from the modules."""
