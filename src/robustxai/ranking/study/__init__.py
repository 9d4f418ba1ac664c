"""The chapter's experiments: sets, networks, attacks, tables and recipes.

Imported by the notebook alone: import from the modules.
"""
