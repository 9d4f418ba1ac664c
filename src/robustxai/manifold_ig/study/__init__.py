"""The chapter's experiments: image sets, networks, runs, tables and recipes.

Imported by the notebook alone: import from the modules.
"""
