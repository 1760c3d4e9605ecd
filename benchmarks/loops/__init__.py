"""The other side of the figures: loops written by hand with the libraries alone, each as a process of its own.

Each is `python -m benchmarks.loops.<name> '<JSON>'`, and is tuned as we would tune it for its one purpose.
"""
