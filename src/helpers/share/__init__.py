"""Share a fine-tuned model: a folder with weights and model card, the hub, or a local server.

``python -m helpers.share push | take | serve``; docs/sharing.md says what each does.
"""

from helpers.share.errors import ShareError
from helpers.share.finished import Trained, find
from helpers.share.folder import write_folder
from helpers.share.hub import upload

__all__ = ["ShareError", "Trained", "find", "upload", "write_folder"]
