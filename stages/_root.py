"""Puts the clone that the stage scripts belong to first on the path.

So a copy of the repository, such as those in which `dvc exp run --temp` works, runs its own code and not an installed one.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
