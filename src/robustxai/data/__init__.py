"""Data: two rendered worlds with known truth (`scenes`), and real sets by name behind one call.

    train = load("mnist", "train")        # Dataset(x, y, classes, ...)
    print(describe("mnist"))              # licence, source, citation, checksums
    x = from_folder("stripes", size=64)   # a folder of image files, (n, 3, 64, 64) in [0, 1]

Works without a network for menagerie, digits and breast_cancer; the other sets come from the folder that
ROBUSTXAI_DATA names, from the user's cache, or by `download=True`. Every file is checked against its
SHA-256 before use.
"""

from .card import describe
from .catalog import catalog
from .catalog_entry import CatalogEntry
from .dataset import Dataset
from .errors import ChecksumError, DownloadError, NotAvailable, UnknownDataset, UnknownSplit
from .folder_images import from_folder, image_files, read_images
from .load import load

__all__ = [
    "CatalogEntry",
    "ChecksumError",
    "Dataset",
    "DownloadError",
    "NotAvailable",
    "UnknownDataset",
    "UnknownSplit",
    "catalog",
    "describe",
    "from_folder",
    "image_files",
    "load",
    "read_images",
]
