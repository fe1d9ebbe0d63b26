"""`.rec` to TFRecord as it is commonly written: MXNet reads at random, `tf.train.Example`, one file, one process.

Prints the records that it converted, and the seconds from its first to its last line: without start-up.
"""

import json
import random
import sys
import time
from pathlib import Path

import mxnet as mx
import tensorflow as tf


def make_example(image: bytes, label: int) -> tf.train.Example:
    """Makes what is written for one image."""
    return tf.train.Example(
        features=tf.train.Features(
            feature={
                "image": tf.train.Feature(bytes_list=tf.train.BytesList(value=[image])),
                "label": tf.train.Feature(int64_list=tf.train.Int64List(value=[label])),
            }
        )
    )


def main() -> None:
    """Converts the set in a folder to a file."""
    source, out = Path(sys.argv[1]), sys.argv[2]
    begun = time.perf_counter()
    reader = mx.recordio.MXIndexedRecordIO(str(source / "train.idx"), str(source / "train.rec"), "r")
    header, _ = mx.recordio.unpack(reader.read_idx(0))
    keys = list(range(1, int(header.label[0])))
    random.seed(1)
    random.shuffle(keys)
    with tf.io.TFRecordWriter(out) as writer:
        for key in keys:
            header, image = mx.recordio.unpack(reader.read_idx(key))
            writer.write(make_example(image, int(header.label)).SerializeToString())
    print(json.dumps({"records": len(keys), "seconds": time.perf_counter() - begun}))


if __name__ == "__main__":
    main()
