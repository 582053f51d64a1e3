"""Writes golden.json: networks of every family with PyTorch's numbers for them.

    python3 -m venv venv && venv/bin/pip install torch && venv/bin/python tests/networks/golden/make_golden.py

For each network: its shape, its weights (drawn here), x [batch, steps, inputs], targets, mask, the
outputs for every step as they are served, the final states of plain recurrent layers, the masked mean
loss in training, its gradients, and the weights after three steps of AdamW with clipping on that same
chunk, which decays all that a gradient moves.
"""

import json
import pathlib

import torch
from torch import nn
from torch.nn import functional as F

INPUTS, HIDDEN, OUTPUTS, BATCH, STEPS = 3, 5, 4, 2, 6
LEARNING_RATE, DECAY, CLIP, UPDATES = 0.01, 0.1, 0.05, 3
LEVELS = (0.5, 0.1)


def flat(t):
    return [float(f"{v:.8g}") for v in t.detach().reshape(-1).tolist()]


class GruBefore(nn.Module):
    """The textbook GRU: the reset gate comes before the product."""

    def __init__(self, inputs, hidden):
        super().__init__()
        like = nn.GRU(inputs, hidden)
        for name, p in like.named_parameters():
            self.register_parameter(name, nn.Parameter(p.detach().clone()))
        self.hidden = hidden

    def forward(self, x):
        n, h, out = self.hidden, x.new_zeros(x.shape[0], self.hidden), []
        w, b = self.weight_hh_l0, self.bias_hh_l0
        for t in range(x.shape[1]):
            i = F.linear(x[:, t], self.weight_ih_l0, self.bias_ih_l0)
            g = F.linear(h, w[: 2 * n], b[: 2 * n])
            r, z = torch.sigmoid(i[:, : 2 * n] + g).chunk(2, 1)
            c = torch.tanh(i[:, 2 * n :] + F.linear(r * h, w[2 * n :], b[2 * n :]))
            h = (1 - z) * c + z * h
            out.append(h)
        return torch.stack(out, 1), h[None]


CELLS = {
    "lstm": lambda i, h: nn.LSTM(i, h, batch_first=True),
    "gru": lambda i, h: nn.GRU(i, h, batch_first=True),
    "rnn_tanh": lambda i, h: nn.RNN(i, h, batch_first=True),
    "rnn_relu": lambda i, h: nn.RNN(i, h, nonlinearity="relu", batch_first=True),
    "gru_before": GruBefore,
}


class Normed(nn.Module):
    """A cell with layer norms inside it, written out: torch has none."""

    def __init__(self, cell, inputs, hidden):
        super().__init__()
        for name, p in CELLS[cell](inputs, hidden).named_parameters():
            self.register_parameter(name, nn.Parameter(p.detach().clone()))
        rows = self.weight_ih_l0.shape[0]
        self.norm_ih_l0 = nn.Parameter(torch.empty(rows).uniform_(0.5, 1.5))
        self.norm_hh_l0 = nn.Parameter(torch.empty(rows).uniform_(0.5, 1.5))
        if cell == "lstm":
            self.norm_c_l0 = nn.Parameter(torch.empty(hidden).uniform_(0.5, 1.5))
            self.norm_c_bias_l0 = nn.Parameter(torch.empty(hidden).uniform_(-0.5, 0.5))
        self.cell, self.hidden = cell, hidden

    def map_h(self, h, gates):
        w, gain, b = self.weight_hh_l0[gates], self.norm_hh_l0[gates], self.bias_hh_l0[gates]
        product = F.linear(h, w)
        return F.layer_norm(product, product.shape[-1:]) * gain + b

    def forward(self, x):
        n, out = self.hidden, []
        h = c = x.new_zeros(x.shape[0], n)
        for t in range(x.shape[1]):
            i = F.linear(x[:, t], self.weight_ih_l0)
            i = F.layer_norm(i, i.shape[-1:]) * self.norm_ih_l0 + self.bias_ih_l0
            if self.cell == "lstm":
                a, f, g, o = (i + self.map_h(h, slice(None))).chunk(4, 1)
                c = torch.sigmoid(f) * c + torch.sigmoid(a) * torch.tanh(g)
                shown = F.layer_norm(c, (n,), self.norm_c_l0, self.norm_c_bias_l0)
                h = torch.sigmoid(o) * torch.tanh(shown)
            elif self.cell == "rnn_tanh":
                h = torch.tanh(i + self.map_h(h, slice(None)))
            elif self.cell == "gru":
                g = self.map_h(h, slice(None))
                r, z = torch.sigmoid(i[:, : 2 * n] + g[:, : 2 * n]).chunk(2, 1)
                h = (1 - z) * torch.tanh(i[:, 2 * n :] + r * g[:, 2 * n :]) + z * h
            else:
                r, z = torch.sigmoid(i[:, : 2 * n] + self.map_h(h, slice(2 * n))).chunk(2, 1)
                candidate = torch.tanh(i[:, 2 * n :] + self.map_h(r * h, slice(2 * n, None)))
                h = (1 - z) * candidate + z * h
            out.append(h)
        return torch.stack(out, 1), (h, c) if self.cell == "lstm" else h


class Stack(nn.Module):
    """Layers of torch's own, one by one, with residuals and batch norms between them."""

    def __init__(self, cell, layers, residual=False, norm="none", inputs=INPUTS):
        super().__init__()
        self.residual, self.names = residual, {}
        make = (lambda i, h: Normed(cell, i, h)) if norm == "layer" else CELLS[cell]
        self.layers = nn.ModuleList(make(inputs if l == 0 else HIDDEN, HIDDEN) for l in range(layers))
        for l, layer in enumerate(self.layers):
            for name, _ in layer.named_parameters():
                self.names[f"layers.{l}.{name}"] = name.replace("_l0", f"_l{l}")
        self.norms = nn.ModuleList(nn.BatchNorm1d(HIDDEN) for _ in range(layers - 1 if norm == "batch" else 0))
        for l, norm in enumerate(self.norms):
            for p in norm.parameters():
                nn.init.normal_(p, 0.5)
            norm.running_mean.normal_()
            norm.running_var.uniform_(0.5, 2)
            for name, _ in list(norm.named_parameters()) + list(norm.named_buffers()):
                self.names[f"norms.{l}.{name}"] = f"batch_norm_l{l + 1}.{name}"

    def forward(self, x):
        states = []
        for l, layer in enumerate(self.layers):
            entering = x
            if l > 0 and self.norms:
                entering = self.norms[l - 1](x.transpose(1, 2)).transpose(1, 2)
            h, state = layer(entering)
            states.append(state)
            x = h + x if self.residual and l > 0 else h
        return x, states


class Body(nn.Module):
    """What every network here has: a name for each parameter, and a head on [top | x]."""

    names = {}

    def __init__(self, top, outputs, x=INPUTS):
        super().__init__()
        self.head = nn.Linear(top + x, outputs)


class Recurrent(Body):
    def __init__(self, outputs, normed=False, **kw):
        super().__init__(HIDDEN, outputs)
        self.stack = Stack(**kw)
        self.head_norm = nn.LayerNorm(HIDDEN) if normed else None
        if normed:
            nn.init.uniform_(self.head_norm.weight, 0.5, 1.5)
            nn.init.uniform_(self.head_norm.bias, -0.5, 0.5)
        self.names = {f"stack.{k}": v for k, v in self.stack.names.items()}

    def forward(self, x, targets):
        top, self.states = self.stack(x)
        top = top if self.head_norm is None else self.head_norm(top)
        return self.head(torch.cat([top, x], -1))


class Decoder(Body):
    """A cell that unrolls the leads from the encoder's state, or from nothing."""

    def __init__(self, outputs, leads, known, encoder, cell, forced):
        each, features = outputs // leads, INPUTS - leads * known
        super().__init__(HIDDEN, each, 0)
        self.leads, self.known, self.forced, self.features = leads, known, forced, features
        self.stack = Stack(cell, 2, inputs=features) if encoder else None
        if encoder:
            self.names = {f"stack.{k}": v for k, v in self.stack.names.items()}
        make = {"lstm": nn.LSTMCell, "gru": nn.GRUCell}[cell]
        self.decoder = make(features + each + known, HIDDEN)

    def forward(self, x, targets):
        out = []
        state = None
        for t in range(x.shape[1]):
            seen = x[:, t, : self.features]
            if self.stack is not None:
                _, states = self.stack(x[:, : t + 1, : self.features])
                state = states[-1]
                state = tuple(s[0] for s in state) if isinstance(state, tuple) else state[0]
            else:
                state = None
            last = x.new_zeros(x.shape[0], self.head.out_features)
            ys = []
            for lead in range(self.leads):
                known = x[:, t, self.features + lead * self.known :][:, : self.known]
                state = self.decoder(torch.cat([seen, last, known], -1), state)
                last = self.head(state[0] if isinstance(state, tuple) else state)
                ys.append(last)
                if self.forced and self.training:
                    last = targets[:, t].view(x.shape[0], -1, self.leads)[:, :, lead]
            out.append(torch.stack(ys, -1).flatten(1))
        return torch.stack(out, 1)


class Window(Body):
    def __init__(self, outputs, readings, layers, activation):
        width = readings * INPUTS
        super().__init__(HIDDEN if layers else width, outputs, INPUTS if layers else 0)
        self.readings, self.activation = readings, getattr(torch, activation)
        self.dense = nn.ModuleList(nn.Linear(width if l == 0 else HIDDEN, HIDDEN) for l in range(layers))

    def forward(self, x, targets):
        past = F.pad(x, (0, 0, self.readings - 1, 0))
        top = torch.stack([past[:, t : t + self.readings].flatten(1) for t in range(x.shape[1])], 1)
        for layer in self.dense:
            top = self.activation(layer(top))
        return self.head(torch.cat([top, x], -1) if self.dense else top)


class Wavenet(Body):
    def __init__(self, outputs, layers, stacks):
        super().__init__(HIDDEN, outputs)
        self.input = nn.Conv1d(INPUTS, HIDDEN, 1)
        self.layers = nn.ModuleList()
        for l in range(layers * stacks):
            layer = {
                "dilated": nn.Conv1d(HIDDEN, 2 * HIDDEN, 2, dilation=2 ** (l % layers)),
                "residual": nn.Conv1d(HIDDEN, HIDDEN, 1),
                "skip": nn.Conv1d(HIDDEN, HIDDEN, 1),
            }
            if l == layers * stacks - 1:
                del layer["residual"]
            self.layers.append(nn.ModuleDict(layer))
        self.output = nn.Conv1d(HIDDEN, HIDDEN, 1)

    def forward(self, x, targets):
        now, skip = self.input(x.transpose(1, 2)), 0
        for layer in self.layers:
            a, b = layer["dilated"](F.pad(now, (layer["dilated"].dilation[0], 0))).chunk(2, 1)
            gated = torch.tanh(a) * torch.sigmoid(b)
            skip = skip + layer["skip"](gated)
            if "residual" in layer:
                now = now + layer["residual"](gated)
        top = torch.relu(self.output(torch.relu(skip))).transpose(1, 2)
        return self.head(torch.cat([top, x], -1))


class Convolved(Body):
    def __init__(self, outputs, kernel, stride, cell):
        super().__init__(HIDDEN, outputs)
        self.kernel, self.stride = kernel, stride
        self.conv = nn.Conv1d(INPUTS, HIDDEN, kernel, stride=stride)
        self.stack = Stack(cell, 1, inputs=HIDDEN)
        self.names = {f"stack.{k}": v for k, v in self.stack.names.items()}

    def forward(self, x, targets):
        # Full strides end at readings stride − 1, 2 · stride − 1, …
        past = F.pad(x.transpose(1, 2), (self.kernel - self.stride, 0))
        h, _ = self.stack(torch.relu(self.conv(past)).transpose(1, 2))
        h = torch.cat([h.new_zeros(h.shape[0], 1, HIDDEN), h], 1)
        top = torch.stack([h[:, (t + 1) // self.stride] for t in range(x.shape[1])], 1)
        return self.head(torch.cat([top, x], -1))


def losses(kind):
    def pinball(y, target):
        e = target - y.unflatten(-1, (len(LEVELS), -1))
        return torch.stack([torch.maximum(q * d, (q - 1) * d) for q, d in zip(LEVELS, e.unbind(-2))], -2)

    return {
        "squared": lambda y, target: (y - target) ** 2,
        "huber": lambda y, target: F.huber_loss(y, target, reduction="none", delta=0.4),
        "pinball": lambda y, target: pinball(y, target.unsqueeze(-2)).flatten(-2),
    }[kind]


def case(make, shape, loss="squared", forced=False):
    torch.manual_seed(hash_of(shape, loss, forced))
    levels = len(LEVELS) if loss == "pinball" else 1
    network = make()
    named = {network.names.get(n, n): p for n, p in network.named_parameters()}
    kept = {network.names[n]: b for n, b in network.named_buffers() if n in network.names}
    x = torch.randn(BATCH, STEPS, INPUTS)
    targets = torch.randn(BATCH, STEPS, OUTPUTS // levels)
    # A forced decoder is given what has arrived: here all has, some of it with little weight.
    mask = torch.rand(BATCH, STEPS, OUTPUTS // levels)
    mask = mask + 0.1 if forced else (mask - 0.2).clamp(min=0)

    def value():
        each = losses(loss)(network(x, targets), targets)
        weight = mask.repeat(1, 1, levels)
        return (each * weight).sum() / weight.sum()

    def all_of():
        return {n: flat(p) for n, p in (named | kept).items()}

    out = {"shape": shape, "loss": loss, "forced": forced, "weights": all_of()}
    network.eval()
    out |= {"x": flat(x), "targets": flat(targets), "mask": flat(mask), "y": flat(network(x, targets))}
    if isinstance(network, Recurrent):
        lstm = shape["cell"] == "lstm"
        out["h"] = [flat(s[0] if lstm else s) for s in network.states]
        out["c"] = [flat(s[1]) for s in network.states] if lstm else []
    out["evaluated"] = value().item()
    network.train()
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm1d)]
    for norm in norms:
        norm.momentum = 0.0
    first = value()
    first.backward()
    out |= {"value": first.item(), "gradients": {n: flat(p.grad) for n, p in named.items()}}
    for norm in norms:
        norm.momentum = 0.1
    optimiser = torch.optim.AdamW(list(named.values()), lr=LEARNING_RATE, weight_decay=DECAY)
    for _ in range(UPDATES):
        optimiser.zero_grad()
        value().backward()
        nn.utils.clip_grad_norm_(list(named.values()), CLIP)
        optimiser.step()
    out["updated"] = all_of()
    return out


def hash_of(*parts):
    return sum(ord(c) * (i + 1) for i, c in enumerate(json.dumps(parts))) % 10_000


def cases():
    for cell in CELLS:
        for layers in (1, 2):
            shape = {"family": "recurrent", "cell": cell, "layers": layers}
            yield case(lambda: Recurrent(OUTPUTS, cell=cell, layers=layers), shape)
    for cell in ("lstm", "gru"):
        for norm in ("none", "batch"):
            shape = {"family": "recurrent", "cell": cell, "layers": 3, "residual": True, "norm": norm}
            yield case(lambda: Recurrent(OUTPUTS, cell=cell, layers=3, residual=True, norm=norm), shape)
    for cell in ("lstm", "gru"):
        shape = {"family": "recurrent", "cell": cell, "layers": 2, "norm": "output"}
        yield case(lambda: Recurrent(OUTPUTS, normed=True, cell=cell, layers=2), shape)
    for cell in ("lstm", "gru", "gru_before", "rnn_tanh"):
        shape = {"family": "recurrent", "cell": cell, "layers": 2, "norm": "layer"}
        yield case(lambda: Recurrent(OUTPUTS, cell=cell, layers=2, norm="layer"), shape)
    for loss in ("huber", "pinball"):
        yield case(
            lambda: Recurrent(OUTPUTS, cell="lstm", layers=1),
            {"family": "recurrent", "cell": "lstm", "layers": 1},
            loss,
        )
    for cell in ("lstm", "gru"):
        for encoder in (True, False):
            for forced in (True, False):
                shape = {"family": "recurrent" if encoder else "vector", "cell": cell, "leads": 2, "known": 1}
                shape["layers"] = 2 if encoder else 1
                yield case(lambda: Decoder(OUTPUTS, 2, 1, encoder, cell, forced), shape, forced=forced)
    for readings, layers, activation in ((3, 0, "tanh"), (4, 2, "tanh"), (4, 1, "relu")):
        shape = {"family": "window", "readings": readings, "layers": layers, "activation": activation}
        yield case(lambda: Window(OUTPUTS, readings, layers, activation), shape)
    for layers, stacks in ((3, 1), (2, 2)):
        shape = {"family": "wavenet", "layers": layers, "stacks": stacks}
        yield case(lambda: Wavenet(OUTPUTS, layers, stacks), shape)
    for cell in ("gru", "gru_before"):
        shape = {"family": "convolved", "kernel": 3, "stride": 2, "cell": cell, "layers": 1}
        yield case(lambda: Convolved(OUTPUTS, 3, 2, cell), shape)


def main():
    out = {
        "torch": torch.__version__, "inputs": INPUTS, "hidden": HIDDEN, "outputs": OUTPUTS,
        "batch": BATCH, "steps": STEPS, "learning_rate": LEARNING_RATE, "weight_decay": DECAY,
        "clip_norm": CLIP, "updates": UPDATES, "levels": LEVELS, "cases": list(cases()),
    }
    pathlib.Path(__file__).with_name("golden.json").write_text(json.dumps(out) + "\n")


main()
