"""Loads the rules by which `pytest --nbval notebooks` compares: see `src/robustxai/_nbval.py`."""

pytest_plugins = ["robustxai._nbval"]
