"""What a person should know before using a hub."""

from __future__ import annotations

from fototeca.collect.sources.metadata import SourceInfo

HUBS = {
    info.name: info
    for info in (
        SourceInfo(
            "kaggle",
            "hub",
            "fototeca[hubs]; KAGGLE_USERNAME and KAGGLE_KEY, or KAGGLE_API_TOKEN (public datasets come without)",
            "Kaggle's own, told by a refusal; 20 results a search",
            "the dataset's, as its owner chose it; Kaggle does not check it",
            "kaggle.com/terms; a dataset may ask for consent on its page first",
        ),
        SourceInfo(
            "roboflow",
            "hub",
            "fototeca[hubs]; ROBOFLOW_API_KEY (free)",
            "exports count against the account's credits; only classification projects come as folders",
            "the project's, as its owner chose it",
            "roboflow.com/terms; augmented copies of one image are kept in one group",
        ),
        SourceInfo(
            "huggingface",
            "hub",
            "fototeca[hubs]; HF_TOKEN only for gated datasets",
            "1,000 requests in 5 minutes without a token; folders of images, archives and parquet files",
            "the dataset card's; a collection may hold images of other rights than the card says",
            "huggingface.co/terms-of-service; gated datasets ask for consent on their page",
        ),
        SourceInfo(
            "zenodo",
            "hub",
            "nothing",
            "30 searches and 60 requests a minute, 25 results a page",
            "the record's, checked by nobody but its author",
            "about.zenodo.org/terms; cite the record's DOI",
        ),
        SourceInfo(
            "figshare",
            "hub",
            "nothing",
            "asks for one request a second at most",
            "the item's, CC BY 4.0 and CC0 most often",
            "figshare.com/terms; cite the item's DOI",
        ),
        SourceInfo(
            "mendeley",
            "hub",
            "nothing",
            "folders of over 1,000 files are listed in part, so the whole comes as one zip then",
            "the dataset's, CC BY 4.0 most often",
            "elsevier.com/legal: robots.txt is honoured, also for the search, which it may forbid",
        ),
    )
}
"""Every hub by name."""
