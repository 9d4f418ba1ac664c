"""The chapter's experiments E1 to E8: images, networks, measures and recipes.

Imported by the notebook alone: import from the modules.
"""
