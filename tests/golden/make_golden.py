"""Golden numbers for tests/golden.rs, from PyTorch on the CPU.

    python3 -m venv venv && venv/bin/pip install torch numpy
    venv/bin/python tests/golden/make_golden.py        # writes golden.json beside itself

For each network: its weights (drawn here), x [batch, steps, inputs], targets, mask, the outputs of a
head on [h, x] for every step, the final states, the masked mean squared error, its gradients, and
the weights after three steps of AdamW with clipping on that same chunk. Matrices decay, biases do not.
"""

import json
import pathlib

import torch

INPUTS, HIDDEN, OUTPUTS, BATCH, STEPS = 3, 5, 4, 2, 6
LEARNING_RATE, DECAY, CLIP, UPDATES = 0.01, 0.1, 0.05, 3


def flat(t):
    return [float(f"{v:.9g}") for v in t.detach().reshape(-1).tolist()]


def network(kind, layers, seed):
    torch.manual_seed(seed)
    cell = torch.nn.LSTM if kind == "lstm" else torch.nn.GRU
    rnn = cell(INPUTS, HIDDEN, num_layers=layers, batch_first=True)
    head = torch.nn.Linear(HIDDEN + INPUTS, OUTPUTS)
    named = list(rnn.named_parameters()) + [("head." + n, p) for n, p in head.named_parameters()]
    x = torch.randn(BATCH, STEPS, INPUTS)
    targets = torch.randn(BATCH, STEPS, OUTPUTS)
    mask = (torch.rand(BATCH, STEPS, OUTPUTS) < 0.8).float()

    def forward():
        h, state = rnn(x)
        return head(torch.cat([h, x], -1)), state

    def loss():
        return (((forward()[0] - targets) ** 2) * mask).sum() / mask.sum()

    weights = {n: flat(p) for n, p in named}
    y, state = forward()
    h, c = state if kind == "lstm" else (state, None)
    value = loss()
    value.backward()
    case = {
        "cell": kind, "layers": layers, "weights": weights,
        "x": flat(x), "targets": flat(targets), "mask": flat(mask),
        "y": flat(y), "h": flat(h), "c": flat(c) if c is not None else None,
        "loss": value.item(), "gradients": {n: flat(p.grad) for n, p in named},
    }
    groups = [
        {"params": [p for n, p in named if "weight" in n], "weight_decay": DECAY},
        {"params": [p for n, p in named if "bias" in n], "weight_decay": 0.0},
    ]
    optimiser = torch.optim.AdamW(groups, lr=LEARNING_RATE)
    for _ in range(UPDATES):
        optimiser.zero_grad()
        loss().backward()
        torch.nn.utils.clip_grad_norm_([p for _, p in named], CLIP)
        optimiser.step()
    case["updated"] = {n: flat(p) for n, p in named}
    return case


def main():
    cases = [network(k, l, s) for s, (k, l) in enumerate((k, l) for k in ("lstm", "gru") for l in (1, 2))]
    out = {
        "torch": torch.__version__, "inputs": INPUTS, "hidden": HIDDEN, "outputs": OUTPUTS,
        "batch": BATCH, "steps": STEPS, "learning_rate": LEARNING_RATE, "weight_decay": DECAY,
        "clip_norm": CLIP, "updates": UPDATES, "cases": cases,
    }
    pathlib.Path(__file__).with_name("golden.json").write_text(json.dumps(out) + "\n")


main()
