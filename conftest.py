"""Loads the rules by which `pytest --nbval notebooks` compares: see `src/robustxai/nbval.py`."""

pytest_plugins = ["robustxai.nbval"]
