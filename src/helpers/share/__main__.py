"""Entry point of ``python -m helpers.share``."""

import sys

from helpers.share.command import main

sys.exit(main())
