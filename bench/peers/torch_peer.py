"""PyTorch, on the CPU or with PEER_DEVICE=cuda on a GPU: autograd through the unrolled inner steps, of several tasks side by side.

Reads the workload that torch.mjs dumped into the folder given as the first argument and prints the
peer's JSON line; with --reference, one of float64 hypergradients that are not timed.
"""

import base64
import json
import math
import os
import statistics
import sys
import time

THREADS = 2
# Read when torch is imported. OpenBLAS has threads of its own; OpenMP's must sleep while those work,
# or the two pools spin against each other, which on busy cores cost several times the time.
blas_threads = os.environ.setdefault("OPENBLAS_NUM_THREADS", str(THREADS))
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import numpy as np
import torch
import torch.nn.functional as F
from torch.autograd import grad

WARMUPS = 2
RUNS = int(os.environ.get("PEER_RUNS") or 7)
# Like measure.mjs.
FEWEST = 3
LONGEST = 30

folder, *flags = sys.argv[1:]
reference = "--reference" in flags
dtype = torch.float64 if reference else torch.float32
device = "cpu" if reference else os.environ.get("PEER_DEVICE") or "cpu"
with open(os.path.join(folder, "workload.json")) as file:
    workload = json.load(file)
steps, lr, momentum, l2 = (workload[name] for name in ("steps", "lr", "momentum", "l2"))
layers = workload.get("layers")
tasks = workload["tasks"]
# The hyperparameters, where they are not the weights of the examples.
hyper_names = workload["hyper"]


def load(name, shape):
    flat = np.fromfile(os.path.join(folder, name + ".bin"), dtype="<f4")
    return torch.from_numpy(flat).to(device, dtype).reshape(shape)


def examples(part):
    """Images and labels; of several tasks [tasks × n × …]."""
    labels = np.fromfile(os.path.join(folder, part + "Y.bin"), dtype="<i4")
    axes = [tasks, -1] if tasks > 1 else [-1]
    inputs = workload["image"] if layers else [workload["inputs"]]
    return load(part + "X", [*axes, *inputs]), torch.from_numpy(labels).to(device).long().reshape(axes)


first = {name: load(name, shape) for name, shape in workload["shapes"].items()}
train, val = examples("train"), examples("val")


def conv(x, weight, bias, stride):
    """Of several tasks in one go, with weights that they share or, as groups of channels, of their own."""
    if x.dim() == 4:
        return F.conv2d(x, weight, bias, stride, padding=1)
    if weight.dim() == 4:
        return conv(x.flatten(0, 1), weight, bias, stride).unflatten(0, x.shape[:2])
    x = x.transpose(0, 1).flatten(1, 2)
    y = F.conv2d(x, weight.flatten(0, 1), bias.flatten(), stride, padding=1, groups=tasks)
    return y.unflatten(1, weight.shape[:2]).transpose(0, 1)


def apply(p, x):
    if not layers:
        return x @ p["weight"]
    for number, layer in enumerate(layers, 1):
        x = conv(x, p[f"weight{number}"], p[f"bias{number}"], layer["stride"])
        if layer["pool"] > 1:
            # Before relu, which gives the same after it, for there is less to do.
            x = F.max_pool2d(x, layer["pool"])
        x = F.relu(x)
    number = len(layers) + 1
    return x.flatten(-3) @ p[f"weight{number}"].transpose(-1, -2) + p[f"bias{number}"].unsqueeze(-2)


def losses(p, data, reduction):
    x, y = data
    return F.cross_entropy(apply(p, x).flatten(0, -2), y.flatten(), reduction=reduction)


def mean_loss(w, alpha, data):
    """The sum over tasks of their means."""
    return tasks * losses({**w, **alpha}, data, "mean")


def inner_loss(w, alpha):
    if hyper_names:
        return mean_loss(w, alpha, train)
    loss = (torch.sigmoid(alpha["weights"]) * losses(w, train, "none")).mean()
    return loss + l2 * sum((x * x).sum() for x in w.values()) if l2 else loss


def outer_loss(w, alpha):
    return mean_loss(w, alpha if hyper_names else {}, val)


def start():
    w = {name: x for name, x in first.items() if name not in hyper_names}
    if tasks > 1:
        w = {name: x.expand(tasks, *x.shape).clone() for name, x in w.items()}
    alpha = {name: first[name].clone().requires_grad_() for name in hyper_names}
    if not hyper_names:
        alpha = {"weights": torch.zeros(workload["train"], dtype=dtype, device=device, requires_grad=True)}
    return w, {name: torch.zeros_like(x) for name, x in w.items()}, alpha


def inner_gradient(w, alpha, record):
    """`record` keeps its graph, so that it can be differentiated."""
    for x in w.values():
        if not x.requires_grad:
            x.requires_grad_()
    return grad(inner_loss(w, alpha), list(w.values()), create_graph=record)


def moved(w, v, g):
    v = {name: momentum * x + dx for (name, x), dx in zip(v.items(), g)}
    return {name: x - lr * v[name] for name, x in w.items()}, v


def reverse(k):
    """The gradient through the last k steps; k = steps is exact."""
    w, v, alpha = start()
    frozen = {name: x.detach() for name, x in alpha.items()}
    for _ in range(steps - k):
        g = inner_gradient(w, frozen, record=False)
        with torch.no_grad():
            w, v = moved(w, v, g)
    for _ in range(k):
        w, v = moved(w, v, inner_gradient(w, alpha, record=True))
    return grad(outer_loss(w, alpha), list(alpha.values()))


def greedy(gamma):
    """Streams the mixed products: the inner gradient's vector product, taken while its graph lives."""
    w, v, alpha = start()
    knobs = list(alpha.values())
    acc = [torch.zeros_like(x) for x in knobs]
    for _ in range(steps):
        g = inner_gradient(w, alpha, record=True)
        with torch.no_grad():
            w, v = moved(w, v, g)
        w = {name: x.requires_grad_() for name, x in w.items()}
        outer = grad(outer_loss(w, alpha), [*w.values(), *knobs], allow_unused=True)
        mixed = grad(g, knobs, grad_outputs=[-lr * x for x in outer[: len(w)]])
        acc = [gamma * a + m for a, m in zip(acc, mixed)]
    direct = outer[len(w) :]
    return [a if d is None else a + d for a, d in zip(acc, direct)]


def hypergradient(estimator):
    """Flat, the mean over tasks."""
    h = greedy(estimator["gamma"]) if "gamma" in estimator else reverse(estimator["k"])
    return torch.cat([x.flatten() for x in h]) / tasks


def timed(estimator):
    for _ in range(WARMUPS):
        hypergradient(estimator).cpu()
    seconds = []
    while len(seconds) < RUNS and (len(seconds) < FEWEST or sum(seconds) < LONGEST):
        began = time.perf_counter()
        h = hypergradient(estimator).cpu()
        seconds.append(time.perf_counter() - began)
    return {
        "estimator": estimator["name"],
        "seconds": statistics.median(seconds),
        "fastest": min(seconds),
        "runs": len(seconds),
        "hypergradient": encode(h),
    }


def encode(h):
    assert math.isfinite(h.norm().item())
    return base64.b64encode(h.cpu().numpy().tobytes()).decode()


torch.set_num_threads(THREADS)
about = {"peer": "torch", "version": torch.__version__}
if reference:
    values = {estimator["name"]: encode(hypergradient(estimator)) for estimator in workload["estimators"]}
    print(json.dumps({**about, "backend": "float64", "hypergradients": values}))
else:
    rows = [timed(estimator) for estimator in workload["estimators"]]
    if device == "cpu":
        backend = f"cpu ({torch.get_num_threads()} threads, OpenBLAS {blas_threads})"
    else:
        backend = f"{device} ({torch.cuda.get_device_name()}), eager"
    print(json.dumps({**about, "backend": backend, "adapter": None, "rows": rows}))
