"""Memory of a device in training, by part. What the framework itself takes comes on top."""

from fr_train.planning.job import Job
from fr_train.planning.network_cost import NetworkCost

__all__ = ["device_memory"]

FLOAT_BYTES = 4  # weights, slots, gradients and logits are float32 under any precision
HEAD_ARRAYS = 2  # as large as the logits, or as the gradient of the class weights, that are there at once


def device_memory(job: Job, cost: NetworkCost) -> dict[str, int]:
    """Gives bytes by part: weights and what is kept for each, then what a step makes and lets go.

    Args:
        job: the training.
        cost: of its network.
    """
    num_copies = 1 + job.num_slots if job.config.model.sample_rate < 1 else 0
    average = 1 if job.config.ema else 0
    copies = 0 if job.config.precision == "float32" else cost.num_weights * job.value_bytes
    row = FLOAT_BYTES * cost.embedding_size
    largest = max(row * job.sampled_rows, FLOAT_BYTES * job.head_batch * job.sampled_rows)
    return {
        "network_weights": FLOAT_BYTES * cost.num_weights + copies,
        "network_slots": FLOAT_BYTES * cost.num_trainable * (job.num_slots + average),
        "network_gradients": FLOAT_BYTES * cost.num_trainable,
        "activations": job.images_per_device * (job.value_bytes * cost.kept_values + cost.mask_bytes),
        "head_weights": row * job.head_rows,
        "head_slots": row * job.head_rows * job.num_slots,
        "head_sample": row * job.sampled_rows * num_copies,
        "head_logits_and_gradients": HEAD_ARRAYS * largest,
    }
