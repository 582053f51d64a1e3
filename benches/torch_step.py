"""PyTorch's cells as a yardstick: answers lines `lstm|gru|rnn_tanh hidden batch inputs seconds` with the
processor seconds of one step on one thread."""

import sys
import time

import torch

torch.set_num_threads(1)
CELLS = {"lstm": torch.nn.LSTMCell, "gru": torch.nn.GRUCell, "rnn_tanh": torch.nn.RNNCell}
print(torch.__version__, flush=True)
for line in sys.stdin:
    kind, *numbers = line.split()
    hidden, batch, inputs = map(int, numbers[:3])
    budget = float(numbers[3])
    cell = CELLS[kind](inputs, hidden)
    x = torch.randn(batch, inputs)
    state = torch.zeros(batch, hidden)
    state = (state, state) if kind == "lstm" else state
    with torch.inference_mode():
        for _ in range(2):
            state = cell(x, state)
        start = time.process_time()
        state = cell(x, state)
        n = max(1, int(budget / max(time.process_time() - start, 1e-9)))
        start = time.process_time()
        for _ in range(n):
            state = cell(x, state)
        print((time.process_time() - start) / n, flush=True)
