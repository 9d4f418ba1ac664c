"""The chapter's experiments: cases, networks, defences, tables and recipes.

Imported by the notebook alone: import from the modules.
"""
