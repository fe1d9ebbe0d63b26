"""A training on paper: its memory, its traffic and its time, and what would have to change for it to fit."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

from fr_train.planning.job import Job
from fr_train.planning.memory import device_memory
from fr_train.planning.network_cost import NetworkCost
from fr_train.planning.rates import Rates
from fr_train.planning.traffic import bytes_sent

__all__ = ["Machine", "Plan"]

TIGHT = 0.9  # of a device's memory; the framework needs some as well
SAMPLE_RATE = 0.1  # what An et al. 2022 (Partial FC) recommend


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """Where it is to run.

    Attributes:
        rates: of a device.
        device_bytes: memory of a device.
        link_bytes: bytes a second that a device sends; None leaves traffic out of the time.
    """

    rates: Rates
    device_bytes: int
    link_bytes: float | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """What a training takes.

    Attributes:
        job: the training.
        cost: of its network.
        machine: where it is to run.
    """

    job: Job
    cost: NetworkCost
    machine: Machine

    def memory(self) -> dict[str, int]:
        """Bytes of a device, by part."""
        return device_memory(self.job, self.cost)

    def traffic(self) -> dict[str, int]:
        """Bytes that a device sends in a step, by part."""
        return bytes_sent(self.job, self.cost)

    def seconds(self) -> dict[str, float]:
        """Seconds of a step: of the network, of the head, and, where the link's speed is known, of traffic; one after the other."""
        job, rates, link = self.job, self.machine.rates, self.machine.link_bytes
        return {
            "network": self.cost.step_flops * job.images_per_device / rates.network_flops,
            "head": self.cost.head_flops(job.head_batch, job.sampled_rows) / rates.head_flops,
            "traffic": sum(self.traffic().values()) / link if link else 0.0,
        }

    @property
    def step_seconds(self) -> float:
        """Seconds of a step."""
        return sum(self.seconds().values())

    @property
    def epoch_hours(self) -> float:
        """Hours of an epoch, without evaluation."""
        return self.job.num_steps * self.step_seconds / 3600

    @property
    def images_per_second(self) -> float:
        """Of all devices together; the input must bring as many."""
        return self.job.config.batch_size / self.step_seconds

    def fits(self) -> bool:
        """Whether a device holds it."""
        return sum(self.memory().values()) <= self.machine.device_bytes

    def warnings(self) -> list[str]:
        """Says what will not go, each a sentence."""
        memory, rates = self.memory(), self.machine.rates
        total, found = sum(memory.values()), []
        of_device = f"{_gib(total)} GiB of {_gib(self.machine.device_bytes)}"
        if not self.fits():
            largest = max(memory, key=lambda name: memory[name])
            found.append(
                f"it does not fit: {of_device}, most of it {largest.replace('_', ' ')} ({_gib(memory[largest])} GiB). "
                f"{self._advise()}"
            )
        elif total > TIGHT * self.machine.device_bytes:
            found.append(f"it is tight: {of_device}, and the framework needs some as well.")
        if (rates.precision == "float32") != (self.job.config.precision == "float32"):
            found.append(f"the rates are those of {rates.precision}, the run is to use {self.job.config.precision}.")
        if self.job.num_devices > 1 and not self.machine.link_bytes:
            found.append("the time of traffic is left out: give the speed of the link by --interconnect.")
        return found

    def _advise(self) -> str:
        """Names the smallest sets of changes with which it fits."""
        changes = list(self._changes())
        for number in range(1, len(changes) + 1):
            fitting = []
            for some in combinations(changes, number):
                job = self.job
                for _, change in some:
                    job = _apply(job, change)
                plan = replace(self, job=job)
                if plan.fits():
                    options = " ".join(option for option, _ in some)
                    fitting.append(f"{options} ({_gib(sum(plan.memory().values()))} GiB)")
            if fitting:
                return f"It fits with {' or '.join(fitting)}."
        return "Take more or larger devices, or a smaller network."

    def _changes(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yields what might be changed: options, and what they set."""
        job = self.job
        if job.head == "replicated" and job.num_devices > 1:
            yield "--head sharded", {"head": "sharded"}
        if job.config.model.sample_rate > SAMPLE_RATE:
            yield f"--sample-rate {SAMPLE_RATE}", {"sample_rate": SAMPLE_RATE}
        half = job.config.batch_size // 2
        if half and half % job.num_devices == 0:
            yield f"--batch-size {half}", {"batch_size": half}
        if job.config.precision == "float32":
            yield "--precision mixed_bfloat16", {"precision": "mixed_bfloat16"}

    def to_dict(self) -> dict[str, Any]:
        """Gives it as JSON values: bytes, seconds, and operations."""
        job, model = self.job, self.job.config.model
        memory, traffic = self.memory(), self.traffic()
        return {
            "job": {
                "num_classes": job.num_classes,
                "num_images": job.num_images,
                "num_devices": job.num_devices,
                "head": job.head,
                "sample_rate": job.config.model.sample_rate,
                "backbone": model.file or model.backbone,
                "embedding_size": self.cost.embedding_size,
                "batch_size": job.config.batch_size,
                "precision": job.config.precision,
            },
            "network": {
                "num_weights": self.cost.num_weights,
                "forward_flops": self.cost.forward_flops,
                "activation_bytes": memory["activations"] // job.images_per_device,
            },
            "memory": {
                **memory,
                "total": sum(memory.values()),
                "device": self.machine.device_bytes,
                "fits": self.fits(),
            },
            "traffic": {**traffic, "total": sum(traffic.values())},
            "rates": dict(self.machine.rates.to_dict()),
            "time": {
                **{f"{name}_seconds": seconds for name, seconds in self.seconds().items()},
                "step_seconds": self.step_seconds,
                "images_per_second": self.images_per_second,
                "steps_per_epoch": job.num_steps,
                "epoch_hours": self.epoch_hours,
            },
            "warnings": self.warnings(),
        }

    def describe(self) -> list[str]:
        """Says all that in lines, for the user."""
        job, model, config = self.job, self.job.config.model, self.job.config
        devices = f"{job.num_devices} device{'s' if job.num_devices > 1 else ''}"
        each = f" ({job.images_per_device:,} a device)" if job.num_devices > 1 else ""
        lying = "shared out over the devices" if job.head == "sharded" else "whole on each device"
        looked_at = (
            "all classes"
            if job.config.model.sample_rate == 1
            else f"{job.config.model.sample_rate:.4g} of the classes a step"
        )
        memory, traffic, seconds = self.memory(), self.traffic(), self.seconds()
        lines = [
            f"{job.num_classes:,} classes, {job.num_images:,} images, {devices}",
            f"{model.file or model.backbone}, {self.cost.embedding_size}-d, {self.cost.num_weights / 1e6:.1f} M weights, "
            f"{self.cost.forward_flops / 1e9:.2f} GFLOP an image; a batch of {config.batch_size:,}{each}, {config.precision}",
            f"head {lying}, {looked_at}",
            "",
            f"memory a device{'GiB':>28}",
            *(f"  {name.replace('_', ' '):<30}{_gib(num_bytes):>11}" for name, num_bytes in memory.items()),
            f"  {'total':<30}{_gib(sum(memory.values())):>11} of {_gib(self.machine.device_bytes)}",
        ]
        if traffic:
            lines += [
                "",
                f"sent by a device a step{'MB':>20}",
                *(f"  {name.replace('_', ' '):<30}{num_bytes / 1e6:>11,.2f}" for name, num_bytes in traffic.items()),
            ]
        parts = " + ".join(f"{name} {value:.3f}" for name, value in seconds.items() if value)
        return [
            *lines,
            "",
            f"time, by rates {self.machine.rates.source} ({self.machine.rates.precision})",
            f"  {self.step_seconds:.3f} s a step ({parts}), {self.images_per_second:,.0f} images/s, which the input must bring",
            f"  {self.epoch_hours:,.2f} hours an epoch of {job.num_steps:,} steps",
        ]


def _apply(job: Job, change: dict[str, Any]) -> Job:
    config, values = job.config, dict(change)
    if "sample_rate" in values:
        config = replace(config, model=replace(config.model, sample_rate=values.pop("sample_rate")))
    head = values.pop("head", job.head)
    return replace(job, head=head, config=replace(config, **values))


def _gib(num_bytes: float) -> str:
    return f"{num_bytes / 2**30:,.2f}"
