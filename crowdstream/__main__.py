"""`python -m crowdstream` is `crowdstream`."""

import sys

from crowdstream.cli import main

if __name__ == "__main__":
    sys.exit(main())
