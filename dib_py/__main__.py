"""``python -m dib_py``: the same as the ``dib-py`` command."""

import sys

from dib_py.cli import main

sys.exit(main())
