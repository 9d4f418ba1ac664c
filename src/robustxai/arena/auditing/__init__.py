"""The arena on a user's own network and images: `robustxai audit`, and `robustxai.arena.audit` in Python.

Import from the modules: `audit` runs it, `sources` and `pictures` read what it is run on, `report` is what comes out.
"""
