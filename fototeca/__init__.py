"""Build reviewed image datasets and train classifiers on them."""

from importlib.metadata import version as _version

__version__ = _version("fototeca")
