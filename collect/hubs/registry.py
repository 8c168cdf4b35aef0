"""Descriptions of the hubs."""

from __future__ import annotations

from fototeca.collect.sources.metadata import SourceInfo

HUBS = {
    info.name: info
    for info in (
        SourceInfo(
            "kaggle",
            "hub",
            "fototeca[hubs]; KAGGLE_USERNAME and KAGGLE_KEY, or KAGGLE_API_TOKEN (public datasets need no key)",
            "Kaggle's own, unpublished; 20 results a search",
            "the dataset's, chosen by its owner, not verified by Kaggle",
            "kaggle.com/terms; a dataset may require consent on its page first",
        ),
        SourceInfo(
            "roboflow",
            "hub",
            "fototeca[hubs]; ROBOFLOW_API_KEY (free)",
            "exports use the account's credits; only classification projects can be exported as folders",
            "the project's, chosen by its owner",
            "roboflow.com/terms; augmented copies of one image stay in one group",
        ),
        SourceInfo(
            "huggingface",
            "hub",
            "fototeca[hubs]; HF_TOKEN only for gated datasets",
            "1,000 requests in 5 minutes without a token; folders of images, archives and parquet files",
            "the dataset card's; single images may have other licenses",
            "huggingface.co/terms-of-service; gated datasets require consent on their page",
        ),
        SourceInfo(
            "zenodo",
            "hub",
            "nothing",
            "30 searches and 60 requests a minute, 25 results a page",
            "the record's, chosen by its author, not verified",
            "about.zenodo.org/terms; cite the record's DOI",
        ),
        SourceInfo(
            "figshare",
            "hub",
            "nothing",
            "at most one request a second",
            "the item's, mostly CC BY 4.0 and CC0",
            "figshare.com/terms; cite the item's DOI",
        ),
        SourceInfo(
            "mendeley",
            "hub",
            "nothing",
            "a dataset with a folder of over 1,000 files is downloaded as one zip",
            "the dataset's, mostly CC BY 4.0",
            "elsevier.com/legal: robots.txt is respected, also for the search, which it may forbid",
        ),
    )
}
"""Every hub by name."""
