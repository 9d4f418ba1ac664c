"""The chapter's experiments: studies, manipulated networks, tables and recipes.

Imported by the notebook alone: import from the modules.
"""
