"""Adversarial counterfactual explanations (ACE): attacks through a diffusion filter show what drives a decision."""
