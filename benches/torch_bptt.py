"""PyTorch's training as a yardstick: answers lines `lstm|gru|rnn_tanh hidden batch steps inputs outputs
seconds` with the seconds of one update (forward, backward, clipping, AdamW) on as many threads as its
argument says: of processor time if that is one, else those that pass."""

import sys
import time

import torch

THREADS = int(sys.argv[1])
torch.set_num_threads(THREADS)
clock = time.process_time if THREADS == 1 else time.perf_counter
LAYERS = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU, "rnn_tanh": torch.nn.RNN}
print(torch.__version__, flush=True)
made = {}
for line in sys.stdin:
    kind, *numbers = line.split()
    hidden, batch, steps, inputs, outputs = map(int, numbers[:5])
    if line not in made:
        rnn = LAYERS[kind](inputs, hidden, batch_first=True)
        head = torch.nn.Linear(hidden, outputs)
        parameters = list(rnn.parameters()) + list(head.parameters())
        optimiser = torch.optim.AdamW(parameters, lr=1e-3)
        x = torch.randn(batch, steps, inputs)
        y = torch.randn(batch, steps, outputs)
        made[line] = rnn, head, parameters, optimiser, x, y
    rnn, head, parameters, optimiser, x, y = made[line]

    def update():
        optimiser.zero_grad()
        loss = torch.nn.functional.huber_loss(head(rnn(x)[0]), y)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()

    update()
    start = clock()
    update()
    n = max(1, int(float(numbers[5]) / (clock() - start)))
    start = clock()
    for _ in range(n):
        update()
    print((clock() - start) / n, flush=True)
