"""Entry point of ``python -m helpers.classify``."""

import sys

from helpers.classify.command import main

sys.exit(main())
