"""What every explainer shares; import from the modules."""
