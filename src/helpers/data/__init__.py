"""Data: loading, checking, downloading, splitting and showing texts.

`load_texts` is the door: it returns the texts of a task from any source, and what was dropped.
Splits are drawn in chapter 01 and nowhere else.
"""

from helpers.data.display import find_sentences, readable, show_texts
from helpers.data.downloads import fetch, fetch_upstream
from helpers.data.embedded import load_embedded
from helpers.data.hub import load_hub
from helpers.data.leakage import Cleaned, drop_leaks, near_duplicates
from helpers.data.manifest import (
    UpstreamError,
    UpstreamFile,
    UpstreamMissing,
    git_blob_sha1,
    local_copy,
    read_manifest,
    upstream_file,
)
from helpers.data.sections import texts_allowed
from helpers.data.sources import load_texts
from helpers.data.splits import Split, folds, limit, make_split, stratified_subset
from helpers.data.upstream import (
    accepted_labels,
    cap_questions,
    dataverse_labels,
    load_cap,
    load_flourishing,
)
from helpers.data.validation import DataError, Loaded, check_texts

__all__ = [
    "Cleaned",
    "DataError",
    "Loaded",
    "Split",
    "UpstreamError",
    "UpstreamFile",
    "UpstreamMissing",
    "accepted_labels",
    "cap_questions",
    "check_texts",
    "dataverse_labels",
    "drop_leaks",
    "fetch",
    "fetch_upstream",
    "find_sentences",
    "folds",
    "git_blob_sha1",
    "limit",
    "load_cap",
    "load_embedded",
    "load_flourishing",
    "load_hub",
    "load_texts",
    "local_copy",
    "make_split",
    "near_duplicates",
    "read_manifest",
    "readable",
    "show_texts",
    "stratified_subset",
    "texts_allowed",
    "upstream_file",
]
