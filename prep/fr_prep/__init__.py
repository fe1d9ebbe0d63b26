"""Data preparation for face recognition: RecordIO sets and verification bins in, verified TFRecord shards out.

Nothing here imports TensorFlow. The command line is `fr-prep`; `fr_prep.write.build.build_dataset` is the same flow as a function.
"""
