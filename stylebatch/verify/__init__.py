"""An output held against what the ledger and the records tell of it.

`verify_output` looks; `repair_output` lets the next run make again what is not as it was.
"""

from stylebatch.verify.differences import KINDS, Difference, Found
from stylebatch.verify.verify import repair_output, verify_output

__all__ = ["KINDS", "Difference", "Found", "repair_output", "verify_output"]
