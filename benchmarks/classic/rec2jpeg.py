"""`.rec` to class folders as it is commonly written: MXNet reads one record after the other, each becomes a file.

Prints the records that it converted, and the seconds from its first to its last line: without start-up.
"""

import json
import os
import sys
import time

import mxnet as mx


def main() -> None:
    """Converts the set in a folder to a folder of class folders."""
    source, out = sys.argv[1:]
    begun = time.perf_counter()
    reader = mx.recordio.MXIndexedRecordIO(os.path.join(source, "train.idx"), os.path.join(source, "train.rec"), "r")
    header, _ = mx.recordio.unpack(reader.read_idx(0))
    keys = range(1, int(header.label[0]))
    for key in keys:
        header, image = mx.recordio.unpack(reader.read_idx(key))
        folder = os.path.join(out, str(int(header.label)))
        os.makedirs(folder, exist_ok=True)
        with open(os.path.join(folder, f"{key}.jpg"), "wb") as file:
            file.write(image)
    print(json.dumps({"records": len(keys), "seconds": time.perf_counter() - begun}))


if __name__ == "__main__":
    main()
