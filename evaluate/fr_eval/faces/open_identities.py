"""Faces with their people from any kind of folder."""

import os
from pathlib import Path

from fr_eval.errors import FaceSetError
from fr_eval.faces.face_folders import read_face_folders
from fr_eval.faces.face_shards import MANIFEST_FILE, read_face_shards
from fr_eval.faces.identity_sets import IdentitySet

__all__ = ["read_identities"]


def read_identities(path: str | os.PathLike[str]) -> IdentitySet:
    """Opens a folder of class folders, or of shards; images are not decoded.

    Args:
        path: `<person>/…/<image>`, or a data set that `fr-prep` wrote, all splits of which count.

    Raises:
        FaceSetError: there is no such folder, it holds no images, or a file is not what the manifest says.
    """
    path = Path(path)
    if not path.is_dir():
        raise FaceSetError(f"{path}: there is no such folder; expected class folders, or shards of `fr-prep`")
    return read_face_shards(path) if (path / MANIFEST_FILE).is_file() else read_face_folders(path)
