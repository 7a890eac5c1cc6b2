"""The live probe: how error flows back through a PyTorch model, for the loss that it really has.

>>> from gradflow.integrations.torch import watch                          # doctest: +SKIP
>>> with watch(model) as probe:                                            # doctest: +SKIP
...     loss = criterion(model(x), y)
...     loss.backward()
>>> print(probe.table())                                                   # doctest: +SKIP

Every nn.RNN, nn.LSTM, nn.GRU and their Cell modules are found, wherever they run. Hooks take what
went in, and ∂L/∂ of what came out; the recurrence itself is run again in NumPy, and its adjoints go
back through the engine: total derivatives at every step, out of no number's range.
"""

from gradflow.integrations.torch.probe import LiveProbe, watch

__all__ = ["LiveProbe", "watch"]
