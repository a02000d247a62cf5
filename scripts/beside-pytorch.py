#!/usr/bin/env python3
"""wgrad and PyTorch in turn on the same machine: f32 matmuls, convolutions, and whole training runs of the presets.

    python scripts/beside-pytorch.py [products] [convolutions] [training] [--device cpu|gpu|...] [--rounds N]

Needs numpy and torch, and a release build (`cargo build --release`). In each round PyTorch is timed before and after wgrad (in
training before it only), so that what else the machine does in those seconds falls on both. Prints tables in Markdown: medians over the rounds, the
least and the most, and the ratio (above 1: wgrad is faster).

PyTorch computes f32 without TF32 or other reduced precision. On a GPU its times are the host's, over runs that are queued
and then waited for; wgrad's are the device's own where it has a clock (`wgrad bench`). Training is 50 epochs, the whole training and
validation sets evaluated after each; batches are picked by index, which is faster than a DataLoader. On the CPU PyTorch runs
with one thread and with all, and the faster one counts.
"""

import argparse
import datetime
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

PRODUCTS = [512, 1024, 2048, 4096]
# wgrad's name of the case, x, w, and what torch is called with.
CONVOLUTIONS = [
    ("conv1d/mnist1d-2-100x15x19-k3s2", (100, 15, 19), (15, 15, 3), F.conv1d, {"stride": 2}),
    ("conv1d/100x15x19-k3p1", (100, 15, 19), (15, 15, 3), F.conv1d, {"padding": 1}),
    ("conv1d/256x64x1024-k5p2", (256, 64, 1024), (64, 64, 5), F.conv1d, {"padding": 2}),
    ("conv2d/32x64x56-k3p1", (32, 64, 56, 56), (64, 64, 3, 3), F.conv2d, {"padding": 1}),
]
PRESETS = ["cnn", "mlp"]
EPOCHS = 50


class Torch:
    """PyTorch on a device."""

    def __init__(self, name):
        self.device = torch.device(name)
        torch.manual_seed(0)
        torch.set_float32_matmul_precision("highest")
        torch.backends.cudnn.allow_tf32 = False

    def name(self):
        if self.device.type == "cuda":
            return torch.cuda.get_device_name(self.device)
        return f"{self.device.type}, {torch.get_num_threads()} threads"

    def wait(self):
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        elif self.device.type == "mps":
            torch.mps.synchronize()

    def random(self, *shape):
        return torch.randn(*shape, device=self.device)

    def seconds(self, work, at_least):
        """The median over samples of about a twentieth of the time each."""
        for _ in range(3):
            work()
        self.wait()
        start = time.perf_counter()
        work()
        self.wait()
        runs = max(1, int(at_least / 20 / max(time.perf_counter() - start, 1e-7)))
        samples = []
        end = time.perf_counter() + at_least
        while time.perf_counter() < end or len(samples) < 3:
            start = time.perf_counter()
            for _ in range(runs):
                work()
            self.wait()
            samples.append((time.perf_counter() - start) / runs)
        return float(np.median(samples))

    def fit(self, kind, data):
        """Seconds of a run of a preset."""
        relu, linear, conv = nn.ReLU, nn.Linear, lambda i: nn.Conv1d(i, 15, 3, stride=2)
        layers = {
            "mlp": lambda: [linear(40, 100), relu(), linear(100, 100), relu(), linear(100, 10)],
            "cnn": lambda: [conv(1), relu(), conv(15), relu(), conv(15), relu(), nn.Flatten(), linear(60, 10)],
        }
        model = nn.Sequential(*layers[kind]()).to(self.device)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
        scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=10, gamma=0.5)
        loss = nn.CrossEntropyLoss()
        (x, y), (xv, yv) = [(x[:, None, :] if kind == "cnn" else x, y) for x, y in data]
        wrong = lambda logits, labels: float((logits.argmax(1) != labels).float().mean())
        self.wait()
        start = time.perf_counter()
        for _ in range(EPOCHS):
            order = torch.randperm(len(x), device=self.device)
            for i in range(0, len(x), 100):
                pick = order[i : i + 100]
                optimizer.zero_grad()
                loss(model(x[pick]), y[pick]).backward()
                optimizer.step()
            with torch.no_grad():
                for inputs, labels in ((x, y), (xv, yv)):
                    logits = model(inputs)
                    loss(logits, labels).item(), wrong(logits, labels)
            scheduler.step()
        self.wait()
        return time.perf_counter() - start


class Wgrad:
    """The command."""

    def __init__(self, path, device):
        self.path, self.device = path, device
        self.folder = tempfile.TemporaryDirectory()

    def run(self, *arguments):
        command = [self.path, *arguments]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            sys.exit(f"{' '.join(command)}: exit code {done.returncode}\n{done.stderr}")
        return done.stdout

    def file(self, name):
        return os.path.join(self.folder.name, name)

    def bench(self, name, at_least):
        """Seconds of the case of this name, or of each below it."""
        out = self.file("bench.json")
        self.run("bench", name, "--device", self.device, "--min-time", str(at_least), "--json", out)
        with open(out) as f:
            report = json.load(f)
        self.machine = report["machine"]
        cases = {}
        # The command takes a part of a name: f16, which some devices lack, and transposed sides match too.
        for case in (c for c in report["cases"] if c["name"] == name or c["name"].startswith(f"{name}/")):
            if case["wrong"] or case["skipped"]:
                sys.exit(f"{case['name']}: {case['skipped'] or 'wrong'}")
            cases[case["name"]] = (case["device"] or case["wall"])["median"]
        return cases

    def data(self, device):
        """MNIST-1D, the splits of the presets."""
        folder = self.file("data")
        self.run("dataset", "mnist1d", "--preset", "udl", "--out", folder)
        load = lambda name: torch.tensor(np.load(os.path.join(folder, name)), device=device)
        return folder, [(load(f"x_{s}.npy").float(), load(f"y_{s}.npy").long()) for s in ("train", "val")]

    def fit(self, kind, folder):
        """Seconds of a run of a preset."""
        arguments = ["--device", self.device, "--epochs", str(EPOCHS), "--data", folder, "--out", self.file("run"), "--json"]
        return json.loads(self.run("train", kind, *arguments))["train_seconds"]


def table(what, unit, scale, rounds):
    """One row a name: `rounds` holds wgrad's and PyTorch's seconds, by name and round."""
    print(f"\n| {what} | wgrad, {unit} | PyTorch, {unit} | PyTorch / wgrad, least, median, most |")
    print("|---|---:|---:|---:|")
    spread = lambda v: f"{np.median(v) * scale:.3g} ({min(v) * scale:.3g} – {max(v) * scale:.3g})"
    for name, times in rounds.items():
        ours, theirs = (np.array(v) for v in zip(*times))
        ratio = theirs / ours
        print(f"| {name} | {spread(ours)} | {spread(theirs)} | {ratio.min():.2f}, {np.median(ratio):.2f}, {ratio.max():.2f} |")
    sys.stdout.flush()


def products(wgrad, pytorch, options):
    rounds = {}
    for n in options.sizes:
        a, b, out = pytorch.random(n, n), pytorch.random(n, n), pytorch.random(n, n)
        work = lambda: torch.mm(a, b, out=out)
        for _ in range(options.rounds):
            before = pytorch.seconds(work, options.min_time)
            ours = wgrad.bench(f"matmul/{n}", options.min_time)[f"matmul/{n}"]
            theirs = (before + pytorch.seconds(work, options.min_time)) / 2
            rounds.setdefault(n, []).append((ours, theirs))
    for n, times in rounds.items():
        rates = [np.median([2e-9 * n**3 / t[k] for t in times]) for k in (0, 1)]
        print(f"matmul of {n}: wgrad {rates[0]:.0f} GFLOP/s, PyTorch {rates[1]:.0f} GFLOP/s (medians)")
    table("f32 matmul", "ms", 1e3, {f"{n}³": times for n, times in rounds.items()})


def convolutions(wgrad, pytorch, options):
    rounds = {}
    for name, x_shape, w_shape, conv, how in CONVOLUTIONS:
        x, w = pytorch.random(*x_shape).requires_grad_(), pytorch.random(*w_shape).requires_grad_()
        upstream = torch.randn_like(conv(x, w, **how)).detach()

        def forward():
            with torch.no_grad():
                conv(x, w, **how)

        def all_three():
            torch.autograd.grad(conv(x, w, **how), (x, w), upstream)

        for _ in range(options.rounds):
            before = [pytorch.seconds(work, options.min_time) for work in (forward, all_three)]
            cases = wgrad.bench(name, options.min_time)
            after = [pytorch.seconds(work, options.min_time) for work in (forward, all_three)]
            theirs = [(b + a) / 2 for b, a in zip(before, after)]
            rounds.setdefault(f"{name}, forward", []).append((cases[f"{name}/forward"], theirs[0]))
            rounds.setdefault(f"{name}, forward and both gradients", []).append((sum(cases.values()), theirs[1]))
    table("convolution", "ms", 1e3, rounds)


def training(wgrad, pytorch, options):
    folder, data = wgrad.data(pytorch.device)
    threads = sorted({1, torch.get_num_threads()}) if pytorch.device.type == "cpu" else [torch.get_num_threads()]
    rounds = {}
    for _ in range(options.rounds):
        for kind in PRESETS:
            theirs = []
            for count in threads:
                torch.set_num_threads(count)
                theirs.append(pytorch.fit(kind, data))
            ours = wgrad.fit(kind, folder)
            rounds.setdefault(f"`{kind}`, {EPOCHS} epochs", []).append((ours, min(theirs)))
    table("training", "s", 1, rounds)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = {"products": products, "convolutions": convolutions, "training": training}
    parser.add_argument("part", nargs="*", help="products, convolutions, training; default: all")
    parser.add_argument("--wgrad", default="target/release/wgrad", help="the command [default: target/release/wgrad]")
    parser.add_argument("--device", default="cpu", help="wgrad's device, as `wgrad bench --device` takes it [default: cpu]")
    parser.add_argument("--torch-device", help="PyTorch's: cpu, cuda, mps [default: the same kind]")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--sizes", type=int, nargs="+", choices=PRODUCTS, default=PRODUCTS, help="sizes of the matmuls")
    parser.add_argument("--min-time", type=float, default=0.25, help="seconds a measurement takes, about [default: 0.25]")
    options = parser.parse_args()
    unknown = [part for part in options.part if part not in parts]
    if unknown or options.rounds < 1:
        parser.error(f"no such part: {unknown[0]}" if unknown else "--rounds is at least 1")
    if shutil.which(options.wgrad) is None:
        parser.error(f"no command {options.wgrad}: `cargo build --release` makes it, --wgrad names another")
    kind = options.torch_device
    if kind is None:
        gpu = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
        kind = "cpu" if options.device == "cpu" else gpu
    wgrad, pytorch = Wgrad(options.wgrad, options.device), Torch(kind)
    wgrad.bench("matmul/512", 0.01)
    now = datetime.datetime.now().strftime("%Y-%m-%d %H:%M")
    print(f"{now}; wgrad on {json.dumps(wgrad.machine)}")
    print(f"PyTorch {torch.__version__} on {pytorch.name()}; {options.rounds} rounds in turn")
    for name, part in parts.items():
        if not options.part or name in options.part:
            part(wgrad, pytorch, options)


if __name__ == "__main__":
    main()
