"""The real package `insightface`: run by an environment that has it, embeds images with a model and says what it took it for.

Arguments: the model, images (.npy, uint8 RGB, (N, H, W, 3)), and where to write embeddings (.npy). Prints one line of JSON.
"""

import json
import sys

import numpy as np
from insightface import model_zoo

model_path, images_path, embeddings_path = sys.argv[1:]
model = model_zoo.get_model(model_path, providers=["CPUExecutionProvider"])
images = np.load(images_path)[:, :, :, ::-1]  # the package takes BGR, as OpenCV gives it
embeddings = model.get_feat([np.ascontiguousarray(image) for image in images])
np.save(embeddings_path, embeddings)
single = model.get_feat(np.ascontiguousarray(images[0]))
print(
    json.dumps(
        {
            "class": type(model).__name__,
            "task": model.taskname,
            "input_size": model.input_size,
            "mean": model.input_mean,
            "std": model.input_std,
            "single_agrees": bool(np.allclose(single[0], embeddings[0], rtol=1e-3, atol=1e-3)),
        }
    )
)
