"""Attribution: which pixels make a model predict a category. One file per family of methods; `registry.py` lists all.

`attribute` looks up a method by name, checks that it fits the model, and returns a map of the input's size.
"""

from fototeca.analysis.attribution.registry import (
    CLASS_MODEL,
    METHODS,
    AttributionMethod,
    attribute,
    check_method,
    network_of,
)

__all__ = [
    "CLASS_MODEL",
    "METHODS",
    "AttributionMethod",
    "attribute",
    "check_method",
    "network_of",
]
