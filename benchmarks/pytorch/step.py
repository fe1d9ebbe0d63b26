"""A training step of MobileFaceNet (the widths of the field's `mbf`) with ArcFace, written plainly in PyTorch; needs PyTorch alone.

    python step.py [--images 64] [--classes 10000] [--steps 5]

Prints a line of JSON: seconds a step, by wall clock and by processor time, and how many parameters the network has.
"""

import argparse
import json
import math
import time

import torch
from torch import nn
from torch.nn import functional

CHANNELS = 128
# Inner channels, channels, repeats, stride of the first.
STAGES = ((128, 128, 5, 2), (256, 256, 1, 2), (256, 256, 6, 1), (512, 256, 1, 2), (256, 256, 2, 1))
LAST_CHANNELS = 512
EMBEDDING_SIZE = 512
SCALE, MARGIN = 64.0, 0.5
LEARNING_RATE, MOMENTUM, WEIGHT_DECAY = 0.1, 0.9, 5e-4
WARM_UP_STEPS = 2


def convolution(inputs: int, outputs: int, kernel: int, *, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    return [
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
    ]


class Bottleneck(nn.Module):
    """Expand, convolve each channel, project; with a shortcut where the shape stays."""

    def __init__(self, inputs: int, inner: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.shortcut = stride == 1 and inputs == outputs
        self.layers = nn.Sequential(
            *convolution(inputs, inner, 1),
            nn.PReLU(inner),
            *convolution(inner, inner, 3, stride=stride, groups=inner),
            nn.PReLU(inner),
            *convolution(inner, outputs, 1),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Gives the next feature map."""
        return x + self.layers(x) if self.shortcut else self.layers(x)


def build_network() -> nn.Sequential:
    layers = [*convolution(3, CHANNELS, 3, stride=2), nn.PReLU(CHANNELS)]
    layers += [*convolution(CHANNELS, CHANNELS, 3, groups=CHANNELS), nn.PReLU(CHANNELS)]
    channels = CHANNELS
    for inner, outer, repeats, stride in STAGES:
        for block in range(repeats):
            layers.append(Bottleneck(channels, inner, outer, stride if block == 0 else 1))
            channels = outer
    layers += [*convolution(channels, LAST_CHANNELS, 1), nn.PReLU(LAST_CHANNELS)]
    layers += [nn.Conv2d(LAST_CHANNELS, LAST_CHANNELS, 7, groups=LAST_CHANNELS, bias=False)]
    layers += [nn.BatchNorm2d(LAST_CHANNELS), nn.Flatten()]
    layers += [nn.Linear(LAST_CHANNELS, EMBEDDING_SIZE, bias=False), nn.BatchNorm1d(EMBEDDING_SIZE)]
    return nn.Sequential(*layers)


class ArcFace(nn.Module):
    """Cosines with a weight vector a class, the margin on the target's, cross-entropy."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(0.01 * torch.randn(num_classes, EMBEDDING_SIZE))

    def forward(self, embedding: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Gives the mean loss."""
        cosine = functional.linear(functional.normalize(embedding), functional.normalize(self.weight))
        rows = torch.arange(len(labels))
        target = cosine[rows, labels].clamp(-1 + 1e-6, 1 - 1e-6)
        turned = target * math.cos(MARGIN) - torch.sqrt(1 - target**2) * math.sin(MARGIN)
        beyond = target - MARGIN * math.sin(MARGIN)
        logits = cosine.clone()
        logits[rows, labels] = torch.where(target > math.cos(math.pi - MARGIN), turned, beyond)
        return functional.cross_entropy(SCALE * logits, labels)


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--classes", type=int, default=10_000)
    parser.add_argument("--steps", type=int, default=5)
    options = parser.parse_args()
    torch.manual_seed(0)
    network, head = build_network().train(), ArcFace(options.classes)
    optimizer = torch.optim.SGD(
        [*network.parameters(), *head.parameters()],
        lr=LEARNING_RATE,
        momentum=MOMENTUM,
        nesterov=True,
        weight_decay=WEIGHT_DECAY,
    )
    images = torch.randint(0, 256, (options.images, 3, 112, 112), dtype=torch.uint8)
    labels = torch.randint(0, options.classes, (options.images,))
    losses = []
    for step in range(WARM_UP_STEPS + options.steps):
        if step == WARM_UP_STEPS:
            wall, processor = time.perf_counter(), time.process_time()
        optimizer.zero_grad(set_to_none=True)
        loss = head(network(images.float() / 127.5 - 1), labels)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    print(
        json.dumps(
            {
                "seconds": (time.perf_counter() - wall) / options.steps,
                "processor_seconds": (time.process_time() - processor) / options.steps,
                "parameters": sum(parameter.numel() for parameter in network.parameters()),
                "version": torch.__version__,
                "first_loss": losses[0],
            }
        )
    )


if __name__ == "__main__":
    main()
