"""Memory of a device in training, by part. What the framework itself takes comes on top."""

from fr_train.planning.job import Job
from fr_train.planning.network_cost import NetworkCost

__all__ = ["device_memory"]

FLOAT_BYTES = 4  # weights, slots, gradients and logits are float32 under any precision
LOGIT_ARRAYS = 2.0  # of batch × classes that are there at once
HEAD_GRADIENTS = 1.0  # arrays as large as the class weights of a step


def device_memory(job: Job, cost: NetworkCost) -> dict[str, int]:
    """Gives bytes by part: weights and what is kept for each, then what a step makes and lets go.

    Args:
        job: the training.
        cost: of its network.
    """
    average = 1 if job.config.ema else 0
    copies = 0 if job.config.precision == "float32" else cost.num_weights * job.value_bytes
    per_head = FLOAT_BYTES * cost.embedding_size
    parts = {
        "network_weights": FLOAT_BYTES * cost.num_weights + copies,
        "network_slots": FLOAT_BYTES * cost.num_trainable * (job.num_slots + average),
        "network_gradients": FLOAT_BYTES * cost.num_trainable,
        "head_weights": per_head * job.head_rows,
        "head_slots": per_head * job.head_rows * job.num_slots,
        "head_gradients": HEAD_GRADIENTS * per_head * job.sampled_rows,
        "logits": LOGIT_ARRAYS * FLOAT_BYTES * job.head_batch * job.sampled_rows,
        "activations": job.images_per_device * (job.value_bytes * cost.kept_values + cost.mask_bytes),
    }
    return {name: round(num_bytes) for name, num_bytes in parts.items()}
