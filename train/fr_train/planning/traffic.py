"""Bytes that each device sends in a step, where there are several.

Rings: of N bytes, an all-reduce sends 2 · (D − 1) / D · N from each of D devices, an all-gather and a reduce-scatter half of that
(Patarasuk and Yuan 2009, Bandwidth Optimal All-reduce Algorithms for Clusters of Workstations).
"""

from fr_train.planning.job import Job
from fr_train.planning.memory import FLOAT_BYTES
from fr_train.planning.network_cost import NetworkCost

__all__ = ["bytes_sent"]


def bytes_sent(job: Job, cost: NetworkCost) -> dict[str, int]:
    """Gives bytes by what they are for; nothing for one device.

    Args:
        job: the training.
        cost: of its network.
    """
    if job.num_devices == 1:
        return {}
    share = (job.num_devices - 1) / job.num_devices
    row = FLOAT_BYTES * cost.embedding_size
    embeddings, column = row * job.config.batch_size, FLOAT_BYTES * job.config.batch_size
    parts = {"network_gradients": 2 * share * FLOAT_BYTES * cost.num_trainable}
    if job.head == "replicated":
        parts["head_gradients"] = 2 * share * row * job.sampled_rows
    else:
        parts["embeddings"] = share * (embeddings + column)  # gathered, with their labels
        parts["softmax"] = 2 * share * 3 * column  # greatest logit, sum of powers and target's logit of each image
        parts["embedding_gradients"] = share * embeddings  # summed over the classes, each device keeps its own images'
    return {name: round(num_bytes) for name, num_bytes in parts.items()}
