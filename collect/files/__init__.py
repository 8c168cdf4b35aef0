"""Local files: folders, archives, parquet, class mappings and safe file names."""
