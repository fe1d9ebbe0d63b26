"""A training step of iResNet with ArcFace, full or sampled, written plainly in PyTorch; needs PyTorch alone.

    python iresnet_step.py [--depth 50] [--images 128] [--classes 85742] [--rate 1] [--precision bfloat16] [--steps 20]

On the GPU where there is one: channels last, the network in autocast, head and loss in float32 with TF32 products, as XLA has them.
Prints a line of JSON: seconds a step, the first loss, and how many parameters the network has.
"""

import argparse
import json
import math
import time
from contextlib import nullcontext

import torch
from torch import nn
from torch.nn import functional

REPEATS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 14, 3), 100: (3, 13, 30, 3)}
CHANNELS = (64, 128, 256, 512)
EMBEDDING_SIZE = 512
SCALE, MARGIN = 64.0, 0.5
LEARNING_RATE, MOMENTUM, WEIGHT_DECAY = 0.1, 0.9, 5e-4
WARM_UP_STEPS = 5


def convolution(inputs: int, outputs: int, kernel: int, *, stride: int = 1) -> list[nn.Module]:
    return [nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(outputs)]


class Block(nn.Module):
    """BN, convolution, BN, PReLU, convolution, BN; with a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.shortcut = nn.Sequential(*(convolution(inputs, outputs, 1, stride=stride) if stride > 1 else []))
        self.layers = nn.Sequential(
            nn.BatchNorm2d(inputs),
            *convolution(inputs, outputs, 3),
            nn.PReLU(outputs),
            *convolution(outputs, outputs, 3, stride=stride),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Gives the next feature map."""
        return self.shortcut(x) + self.layers(x)


def build_network(depth: int, size: int) -> nn.Sequential:
    layers = [*convolution(3, CHANNELS[0], 3), nn.PReLU(CHANNELS[0])]
    inputs = CHANNELS[0]
    for outputs, repeats in zip(CHANNELS, REPEATS[depth], strict=True):
        for block in range(repeats):
            layers.append(Block(inputs, outputs, 2 if block == 0 else 1))
            inputs = outputs
    layers += [nn.BatchNorm2d(inputs), nn.Flatten(), nn.Linear(inputs * (-(-size // 16)) ** 2, EMBEDDING_SIZE)]
    return nn.Sequential(*layers, nn.BatchNorm1d(EMBEDDING_SIZE))


def arcface(embedding: torch.Tensor, weight: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
    """The mean loss for the class weights of some classes, among which `columns` are those of the batch."""
    cosine = functional.linear(functional.normalize(embedding.float()), functional.normalize(weight))
    rows = torch.arange(len(columns), device=columns.device)
    target = cosine[rows, columns].clamp(-1 + 1e-6, 1 - 1e-6)
    turned = target * math.cos(MARGIN) - torch.sqrt(1 - target**2) * math.sin(MARGIN)
    logits = cosine.clone()
    beyond = target - MARGIN * math.sin(MARGIN)
    logits[rows, columns] = torch.where(target > math.cos(math.pi - MARGIN), turned, beyond)
    return functional.cross_entropy(SCALE * logits, columns)


class SampledHead:
    """Class weights of which a step reads, trains and writes a sample: the batch's classes, and others at random."""

    def __init__(self, num_classes: int, size: int, device: torch.device) -> None:
        self.weight = 0.01 * torch.randn(num_classes, EMBEDDING_SIZE, device=device)
        self.momentum = torch.zeros_like(self.weight)
        self.size = size

    def read(self, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Draws the sample; gives its weights and where the labels are in it."""
        order = torch.rand(len(self.weight), device=labels.device)
        order[labels] = 2.0
        self.classes = torch.topk(order, self.size).indices.sort().values
        self.rows = self.weight[self.classes].requires_grad_()
        return self.rows, torch.searchsorted(self.classes, labels)

    @torch.no_grad()
    def write(self) -> None:
        """Moves the sample's weights as PyTorch's SGD does, and puts them back."""
        gradient = self.rows.grad + WEIGHT_DECAY * self.rows
        momentum = self.momentum[self.classes].mul_(MOMENTUM).add_(gradient)
        self.momentum[self.classes] = momentum
        self.weight[self.classes] = self.rows - LEARNING_RATE * (gradient + MOMENTUM * momentum)


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--depth", type=int, default=50, choices=REPEATS)
    parser.add_argument("--size", type=int, default=112)
    parser.add_argument("--images", type=int, default=128)
    parser.add_argument("--classes", type=int, default=85_742)
    parser.add_argument("--rate", type=float, default=1.0)
    parser.add_argument("--precision", choices=["float32", "bfloat16"], default="bfloat16")
    parser.add_argument("--steps", type=int, default=20)
    options = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(0)
    torch.set_float32_matmul_precision("high")
    torch.backends.cudnn.benchmark = True
    network = build_network(options.depth, options.size).train().to(device, memory_format=torch.channels_last)
    parameters, sampled = list(network.parameters()), None
    if options.rate < 1:
        sampled = SampledHead(options.classes, max(options.images, math.ceil(options.rate * options.classes)), device)
    else:
        weight = nn.Parameter(0.01 * torch.randn(options.classes, EMBEDDING_SIZE, device=device))
        parameters.append(weight)
    optimizer = torch.optim.SGD(
        parameters, lr=LEARNING_RATE, momentum=MOMENTUM, nesterov=True, weight_decay=WEIGHT_DECAY
    )
    shape = (options.images, 3, options.size, options.size)
    images = torch.randint(0, 256, shape, dtype=torch.uint8).contiguous(memory_format=torch.channels_last)
    labels = torch.randint(0, options.classes, (options.images,))
    if device.type == "cuda":
        images, labels = images.pin_memory(), labels.pin_memory()
    autocast = torch.autocast(device.type, torch.bfloat16) if options.precision == "bfloat16" else nullcontext()
    losses = []
    for step in range(WARM_UP_STEPS + options.steps):
        if step == WARM_UP_STEPS:
            float(losses[-1])  # waits for the device
            begun = time.perf_counter()
        given, classes = images.to(device, non_blocking=True), labels.to(device, non_blocking=True)
        weights, columns = sampled.read(classes) if sampled else (weight, classes)
        optimizer.zero_grad(set_to_none=True)
        with autocast:
            embedding = network(given.float() / 127.5 - 1)
        loss = arcface(embedding, weights, columns)
        loss.backward()
        optimizer.step()
        if sampled:
            sampled.write()
        losses.append(loss.detach())
    float(losses[-1])
    print(
        json.dumps(
            {
                "seconds": (time.perf_counter() - begun) / options.steps,
                "parameters": sum(parameter.numel() for parameter in network.parameters()),
                "device": torch.cuda.get_device_name() if device.type == "cuda" else "CPU",
                "version": f"PyTorch {torch.__version__}",
                "first_loss": float(losses[0]),
            }
        )
    )


if __name__ == "__main__":
    main()
