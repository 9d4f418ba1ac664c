"""robustxai: how explanations of deep networks are fooled, and how they can be made to hold.

One subpackage per paper (`diffgradcam`, ...), and the rooms they share: `data`, `nets`, `metrics`, `plots`, `claims`,
`runtime`. Nothing is imported here, so that `import robustxai` costs nothing.
The version of a release stands below and nowhere else.
"""

__version__ = "0.1.0"
