"""One module per command of the `robustxai` program; `robustxai.cli` mounts each module's typer `app`.

Modules here import torch and the chapters inside their functions, so that `robustxai --help` is quick.
"""
