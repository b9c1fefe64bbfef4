"""`python -m checkout`: serve until told to stop."""

import sys

from checkout import server

if __name__ == "__main__":
    sys.exit(server.main(sys.argv[1:]))
