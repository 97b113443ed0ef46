"""Write every board and the alert rules into the repository: ``python -m boards [FOLDER]``."""

from __future__ import annotations

import sys
from pathlib import Path

from boards.generate import write

if __name__ == "__main__":
    write(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[2])
