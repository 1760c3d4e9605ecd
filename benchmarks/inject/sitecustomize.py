"""Changes from outside, in processes whose PYTHONPATH leads here. Nothing of the product knows of this file."""

import os
import sys

if "SLUICE_BENCH_INJECT" in os.environ and sys.orig_argv[1:2] == ["-m"]:
    from benchmarks.inject import bare, calls

    what = os.environ["SLUICE_BENCH_INJECT"]
    if what == "bare":
        bare.install()
    elif what == "calls" and sys.orig_argv[2:4] == ["delivery", "send"]:
        calls.install()
