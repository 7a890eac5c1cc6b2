"""What one would write instead of calling gradflow: one file a peer, one interface for all.

``prepare(problem)`` converts weights and compiles, and returns ``run``; only ``run()`` is timed.
It returns, for every length of the workload, a mapping from the state's name to log10 norms of
shape (layers, directions, nets, sequences, steps + 1), in each direction's own time.
"""
