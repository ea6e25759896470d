"""Helpers of the replication package: frames in, frames out. The notebooks tell the story."""

__version__ = "0.1.0"
