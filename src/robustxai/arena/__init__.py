"""Every explainer under every attack with every defence, with controls. Import from the modules."""
