"""The arena: every explainer under every attack with every defence, with the controls that keep it honest.

The only room that imports chapters. Import from the modules: `evaluate` is the loop, `registry` holds what enters it.
"""
