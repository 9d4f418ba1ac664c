"""Concept-based explanations (TCAV, faceted feature visualisation) and attacks on their exemplars."""
