"""PyTorch's cells as a yardstick: answers lines `lstm|gru|rnn_tanh hidden batch inputs seconds` with the
seconds of one step on as many threads as its argument says: of processor time if that is one, else those
that pass."""

import sys
import time

import torch

THREADS = int(sys.argv[1])
torch.set_num_threads(THREADS)
clock = time.process_time if THREADS == 1 else time.perf_counter
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
        start = clock()
        state = cell(x, state)
        n = max(1, int(budget / max(clock() - start, 1e-9)))
        start = clock()
        for _ in range(n):
            state = cell(x, state)
        print((clock() - start) / n, flush=True)
