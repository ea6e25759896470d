"""Entry point of ``python -m helpers.archive``."""

import sys

from helpers.archive.command import main

sys.exit(main())
