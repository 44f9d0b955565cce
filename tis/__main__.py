"""`python -m tis`: the same as the command `tis`."""

import sys

from tis.cli.main import main

sys.exit(main())
