"""Local files: folders and CSV files, archives, parquet files, class mappings and safe file names.

`local_files` lists and reads images on disk, `folder_options` holds the options of `collect folder`, `archives.open_folder`
extracts an archive first (`members` reads it, `extraction` writes its images, `links` resolves its links), `class_mapping`
maps the folders of a dataset to categories. Used by `collect.ingest` and `collect.hubs`.
"""
