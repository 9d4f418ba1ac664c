"""What a chapter's kernel must find in its environment, wherever it runs. It starts nothing."""

import os


def absolute_data_folder() -> dict[str, str]:
    """ROBUSTXAI_DATA as an absolute path, for kernels, which work in folders of their own; empty where it is unset."""
    if "ROBUSTXAI_DATA" not in os.environ:
        return {}
    from robustxai.data import fetch  # loads torch, which a run without the variable does not need

    folder = fetch.named_folder()
    return {fetch.VARIABLE: "" if folder is None else str(folder)}
