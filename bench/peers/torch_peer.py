"""PyTorch on the CPU: autograd through the unrolled inner steps.

Reads the workload that torch.mjs dumped into the folder given as the only argument and prints the
peer's JSON line.
"""

import json
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

WARMUPS = 2
RUNS = int(os.environ.get("PEER_RUNS") or 7)

folder = sys.argv[1]
with open(os.path.join(folder, "workload.json")) as file:
    workload = json.load(file)
steps, lr, momentum, l2 = (workload[name] for name in ("steps", "lr", "momentum", "l2"))


def load(name, dtype):
    return torch.from_numpy(np.fromfile(os.path.join(folder, name + ".bin"), dtype=dtype))


train_x, val_x = (load(name, "<f4").reshape(-1, workload["inputs"]) for name in ("trainX", "valX"))
train_y, val_y = (load(name, "<i4").long() for name in ("trainY", "valY"))


def inner_loss(w, weights):
    losses = F.cross_entropy(train_x @ w, train_y, reduction="none")
    return (weights * losses).mean() + l2 * (w * w).sum()


def outer_loss(w):
    return F.cross_entropy(val_x @ w, val_y)


def start():
    shape = workload["inputs"], workload["classes"]
    return torch.zeros(shape), torch.zeros(shape)


def step(w, v, weights, record):
    """One inner step; `record` keeps its graph, so that it can be differentiated through."""
    if not w.requires_grad:
        w.requires_grad_()
    (g,) = torch.autograd.grad(inner_loss(w, weights), w, create_graph=record)
    with torch.set_grad_enabled(record):
        v = momentum * v + g
        return w - lr * v, v


def reverse(lam, k):
    """The gradient through the last k steps; k = steps is exact."""
    w, v = start()
    frozen = torch.sigmoid(lam)
    for _ in range(steps - k):
        w, v = step(w, v, frozen, record=False)
    weights = torch.sigmoid(lam.requires_grad_())
    for _ in range(k):
        w, v = step(w, v, weights, record=True)
    return torch.autograd.grad(outer_loss(w), lam)[0]


def greedy(lam, gamma):
    """Streams the mixed products: the inner gradient's vector product, taken while its graph lives."""
    lam.requires_grad_()
    acc = torch.zeros(workload["train"])
    w, v = start()
    for _ in range(steps):
        w.requires_grad_()
        (g,) = torch.autograd.grad(inner_loss(w, torch.sigmoid(lam)), w, create_graph=True)
        v = momentum * v + g.detach()
        w = (w.detach() - lr * v).requires_grad_()
        (outer,) = torch.autograd.grad(outer_loss(w), w)
        (mixed,) = torch.autograd.grad(g, lam, grad_outputs=-lr * outer)
        acc = gamma * acc + mixed
    return acc


def hypergradient(estimator):
    lam = torch.zeros(workload["train"])
    if "gamma" in estimator:
        return greedy(lam, estimator["gamma"])
    return reverse(lam, estimator["k"])


def timed(estimator):
    for _ in range(WARMUPS):
        hypergradient(estimator)
    seconds = []
    for _ in range(RUNS):
        began = time.perf_counter()
        h = hypergradient(estimator)
        seconds.append(time.perf_counter() - began)
    h = h.double()
    return {
        "estimator": estimator["name"],
        "seconds": statistics.median(seconds),
        "fastest": min(seconds),
        "runs": RUNS,
        "checksum": {"norm": h.norm().item(), "first": h[:3].tolist()},
    }


torch.set_num_threads(THREADS)
rows = [timed(estimator) for estimator in workload["estimators"]]
print(
    json.dumps(
        {
            "peer": "torch",
            "version": torch.__version__,
            "backend": f"cpu ({torch.get_num_threads()} threads, OpenBLAS {blas_threads})",
            "adapter": None,
            "rows": rows,
        }
    )
)
