"""Small template sets in the form in which IJB-B and IJB-C are distributed."""

from pathlib import Path

import numpy as np
from tests.made_pairs import encode

from fr_data.images.align import REFERENCE_POINTS


def write_template_set(folder: Path, *, num_people=4, num_templates=12, seed=0):
    """Writes images of coloured noise, a colour a person; templates of one to three media of one to three images."""
    rng = np.random.default_rng(seed)
    (folder / "meta").mkdir(parents=True)
    (folder / "loose_crop").mkdir()
    colours = rng.integers(40, 215, (num_people, 3))
    faces, points, number = [], [], 0
    people = rng.integers(num_people, size=num_templates)
    template_ids = 10 + rng.permutation(3 * num_templates)[:num_templates]
    for template, person in zip(template_ids, people, strict=True):
        for media in rng.permutation(100)[: rng.integers(1, 4)]:
            for _ in range(rng.integers(1, 4)):
                number += 1
                height, width = rng.integers(40, 70, 2)
                pixels = (colours[person] + rng.integers(-40, 40, (height, width, 3))).clip(0, 255)
                (folder / "loose_crop" / f"{number}.jpg").write_bytes(encode(pixels.astype(np.uint8)))
                face = REFERENCE_POINTS * rng.uniform(0.3, 0.5) + rng.normal(0, 1, (5, 2))
                score = rng.uniform(0.3, 1)
                faces.append(f"{number}.jpg {template} {media}")
                points.append(f"{number}.jpg {' '.join(f'{value:.3f}' for value in face.ravel())} {score:.6f}")
    first, second = np.triu_indices(num_templates, 1)
    pairs = [
        f"{template_ids[i]} {template_ids[j]} {int(people[i] == people[j])}" for i, j in zip(first, second, strict=True)
    ]
    for name, lines in (("face_tid_mid", faces), ("template_pair_label", pairs), ("name_5pts_score", points)):
        (folder / "meta" / f"tiny_{name}.txt").write_text("\n".join(lines) + "\n")
    return folder
