"""Real MXNet, for the tests to call: run by an environment that has it, answers one JSON request a line.

A request is `{"function": name, "arguments": {...}}`, an answer `{"result": ...}` or `{"error": traceback}`; bytes travel as hex.
"""

import json
import sys
import traceback

import mxnet as mx
import numpy as np


def write(rec, payloads):
    """Writes records, and no index."""
    writer = mx.recordio.MXRecordIO(rec, "w")
    for payload in payloads:
        writer.write(bytes.fromhex(payload))
    writer.close()


def write_indexed(rec, idx, records):
    """Writes (key, payload) records with their index."""
    writer = mx.recordio.MXIndexedRecordIO(idx, rec, "w")
    for key, payload in records:
        writer.write_idx(key, bytes.fromhex(payload))
    writer.close()


def accepts(length):
    """Whether MXNet writes a record of so many zeros."""
    writer = mx.recordio.MXRecordIO("/dev/null", "w")
    try:
        writer.write(bytes(length))
    except mx.base.MXNetError:
        return False
    finally:
        writer.close()
    return True


def read(rec):
    """Reads all records from front to back."""
    reader = mx.recordio.MXRecordIO(rec, "r")
    return [payload.hex() for payload in iter(reader.read, None)]


def read_indexed(rec, idx, keys=None):
    """Reads records by key: those asked for, or all in the order of the index."""
    reader = mx.recordio.MXIndexedRecordIO(idx, rec, "r")
    return [(key, reader.read_idx(key).hex()) for key in (reader.keys if keys is None else keys)]


def pack(records):
    """Packs (label or labels, key, image) records."""
    return [
        mx.recordio.pack(mx.recordio.IRHeader(0, label, key, 0), bytes.fromhex(image)).hex()
        for label, key, image in records
    ]


def pack_pictures(records, encoding, quality):
    """Packs (label or labels, key, pixels) records, encoded by `pack_img`; pixels are BGR."""
    return [
        mx.recordio.pack_img(
            mx.recordio.IRHeader(0, label, key, 0), np.array(pixels, dtype=np.uint8), quality, encoding
        ).hex()
        for label, key, pixels in records
    ]


def unpack(payloads):
    """Gives flag, labels, id, id2 and image of each payload."""
    unpacked = [mx.recordio.unpack(bytes.fromhex(payload)) for payload in payloads]
    return [
        (header.flag, np.asarray(header.label).tolist(), header.id, header.id2, image.hex())
        for header, image in unpacked
    ]


def iterate_pictures(rec, idx, shape, label_width, part, num_parts):
    """Gives (labels, RGB pixels) of each image that `ImageRecordIter` decodes in one of the parts of the file."""
    batches = mx.io.ImageRecordIter(
        path_imgrec=rec,
        path_imgidx=idx,
        data_shape=shape,
        label_width=label_width,
        batch_size=1,
        part_index=part,
        num_parts=num_parts,
        round_batch=False,
        preprocess_threads=1,
    )
    return [
        (batch.label[0].asnumpy().ravel().tolist(), batch.data[0].asnumpy()[0].astype(int).tolist())
        for batch in batches
    ]


def convert(source, out, workers, label_position=0):
    """Converts a set by `fr-prep rec2tfrecord --reader mxnet`; gives exit code and stderr."""
    from click.testing import CliRunner

    from fr_prep.cli import main

    options = ["--reader", "mxnet", "--workers", str(workers), "--label-position", str(label_position)]
    ended = CliRunner().invoke(main, ["rec2tfrecord", source, out, "--shards", "3", "--seed", "4", *options])
    if ended.exception and not isinstance(ended.exception, SystemExit):
        raise ended.exception
    return ended.exit_code, ended.stderr


def answer(request):
    """Calls the function that a request names."""
    try:
        return {"result": globals()[request["function"]](**request["arguments"])}
    except Exception:
        return {"error": traceback.format_exc()}


if __name__ == "__main__":
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line))), flush=True)
