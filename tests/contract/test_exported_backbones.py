"""Networks of `fr-train` as ONNX: every way of building them is converted, agrees, and is free of needless transpositions."""

import numpy as np
import pytest

from fr_eval.export.export import ExportJob, run_export
from fr_train.model.backbones.embedding import build_embedding_network
from fr_train.model.backbones.registry import backbone_names

onnx = pytest.importorskip("onnx")
pytest.importorskip("tf2onnx")

# Deeper ones of the same building blocks add time only.
DEEPER = {"efficientnetv2b3", "efficientnetv2s", "iresnet34", "iresnet50", "iresnet100", "resnet101v2"}


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(backbone_names()) - DEEPER))
def test_a_backbone_is_exported(name, tmp_path):
    model = build_embedding_network(name, image_size=(48, 48), embedding_size=32)
    rng = np.random.default_rng(0)
    for weight in model.weights:  # what training leaves nowhere at zero or one
        if weight.path.endswith(("moving_mean", "beta", "bias")):
            weight.assign(rng.normal(0, 0.05, weight.shape))
        elif weight.path.endswith(("moving_variance", "gamma")):
            weight.assign(rng.uniform(0.8, 1.2, weight.shape))
    model.save(tmp_path / "model.keras")
    result = run_export(ExportJob(tmp_path / "model.keras", tmp_path / "model.onnx", "onnx"))
    assert result.min_cosine > 0.99999
    nodes = onnx.load(tmp_path / "model.onnx").graph.node
    operations = [node.op_type for node in nodes]
    assert operations.count("Transpose") <= 1  # of the flattening
    assert operations[0] in {"Conv", "Pad", "BatchNormalization"}
