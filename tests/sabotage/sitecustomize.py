"""Breaks a promise on purpose, in sender processes whose PYTHONPATH leads here: they ignore the gate.

`make demo ARGS=--ignore-gate` must then say BROKEN and fail. Nothing of the product knows of this file.
"""

import sys

if sys.orig_argv[-2:] == ["delivery", "send"]:
    from delivery.loops.control import Control
    from delivery.store import claiming

    claiming._CLAIM = claiming._CLAIM.replace("and g.open", "")  # type: ignore[misc]
    claiming._PROBE = claiming._PROBE.replace("where g.open and", "where")  # type: ignore[misc]
    Control.may_send = lambda *_: True  # type: ignore[method-assign]
    assert "g.open" not in claiming._CLAIM + claiming._PROBE, "the statements have changed: nothing would be broken"
