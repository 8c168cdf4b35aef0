"""Export a frozen version to the formats of other tools."""
