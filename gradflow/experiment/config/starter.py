"""The experiment that `gradflow init` writes, to start from."""

from __future__ import annotations

__all__ = ["STARTER"]

STARTER = """\
# How far does error flow back?  gradflow run this-file.yaml, then gradflow plot
# Every key but model.cell and inputs.kind has a default; `gradflow schema` describes them all.

# name: my-experiment                 # results go to results/NAME; default: this file's name

model:
  cell: lstm                          # rnn, cec, lstm, gru, block, or with options:
                                      # {kind: lstm, peephole: diagonal}, {kind: gru, reset: after}
  hidden: 32                          # units of each layer
  layers: 1
  bidirectional: false
  # weights: model.pt                 # a trained PyTorch model instead; all else follows from it

inputs:
  kind: digits                        # noise, adding, copy, temporal-order, reber, distractors,
                                      # or file with path: data.npy (.npz, .csv, .txt)
  sequences: 16

init:
  recurrent: orthogonal               # normal, uniform, glorot, orthogonal, identity
  recurrent_gain: 1.0
  input: glorot
  forget_bias: 1.0                    # or {chrono: 784}: memories of up to 784 steps

loss:
  kind: probe                         # norms start at 10^0; or sum, mse, cross_entropy
  at: last                            # or all, or a list of steps: [10, 20]

sweep:                                # the product of axes; each is a path into this file
  model.cell: [rnn, lstm, gru]
  length: [16, 32, 64, 128]
  seed: 3                             # three sets of weights: seeds 0, 1, 2

record:
  states: [h, c, s]                   # dL/dh, dL/dc, dL/ds; x is dL/d(input)
  every: 1                            # each n-th step, or log

check:
  tolerance: 1.0e-6                   # decades that `gradflow check` lets a norm move
"""
