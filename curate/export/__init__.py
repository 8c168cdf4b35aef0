"""Export versions in the formats of other tools, with a datasheet."""
