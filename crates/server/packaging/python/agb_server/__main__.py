"""`python -m agb_server ARGUMENTS`: the program agb-server."""

import sys

from agb_server import main

try:
    main()
except OSError as error:
    sys.exit("agb_server: %s" % error)
