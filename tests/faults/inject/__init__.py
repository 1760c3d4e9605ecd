"""What a scene does inside service processes. Chosen by files in the folder that SLUICE_FAULTS names."""

import os
from pathlib import Path
from typing import Final

FOLDER: Final = Path(os.environ.get("SLUICE_FAULTS", "/nonexistent"))
