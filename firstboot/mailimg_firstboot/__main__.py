"""`python3 -m mailimg_firstboot`, or `python3 -I /usr/lib/mailimg/mailimg_firstboot`."""

import sys
from pathlib import Path

if not __package__:
    # Started as a folder: that folder is on the path, where its modules would shadow those of the standard library.
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from mailimg_firstboot.cli import main

if __name__ == "__main__":
    sys.exit(main())
