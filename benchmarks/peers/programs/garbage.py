"""As in the processes of ours (`chassis.drain`): what was imported stays, and garbage is looked for as seldom."""

import gc
import os


def seldom() -> None:
    gc.freeze()
    gc.set_threshold(int(os.environ["PEER_GARBAGE_OBJECTS"]), *gc.get_threshold()[1:])
