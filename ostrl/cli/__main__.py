"""``python -m ostrl.cli`` is the command ``ostrl``."""

import sys

from ostrl.cli import main

if __name__ == "__main__":
    sys.exit(main())
