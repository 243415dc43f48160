"""Scenes and distortions of training images: where they come from, and what a run says of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bench.store import Store
from tests.conftest import Bench
from tests.data.datasets.layouts import cells, mat, pictures
from tests.data.test_annotations import written

COUNT = 20


def livec(root: Path) -> None:
    """LIVEC's native layout with a handful of images."""
    names = [f"{number}.bmp" for number in range(1, 8 + COUNT)]
    for key, values in (
        ("AllImages_release", cells(names)),
        ("AllMOS_release", np.linspace(5, 95, len(names))[None]),
        ("AllStdDev_release", np.full((1, len(names)), 18.0)),
    ):
        mat(root / "Data" / f"{key}.mat", **{key: values})
    pictures(root / "Images" / "trainingImages", names[:7])
    pictures(root / "Images", names[7:])


def test_mpiqe_learns_from_liqes_labels_where_they_are_and_a_table_says_where_not(
    bench: Bench,
) -> None:
    data = bench.folder / "real"
    livec(data / "ChallengeDB_release")
    protocol = bench.protocol(
        "title: Annotated\ndatasets: [livec]\nlabels: [10]\nrepeats: 1\n"
        "methods: [{method: mpiqe, set: {backbone: tiny, resize_mode: squash, resize: 112, "
        "epochs: 1}}, label_mean]\n"
    )
    without = bench.run_and_report(protocol, IQA_DATA=str(data))
    assert without.returncode == 0, without.stdout + without.stderr
    assert "§ mpiqe: without L_scene / L_dist" in without.stdout
    assert "§ label_mean" not in without.stdout

    lines = [
        f"Images/{number}.bmp\t50\trealistic blur\tnight\tplant\tinvalid"
        for number in range(8, 8 + COUNT)
    ]
    written(data, "\n".join(lines))
    planned = bench.run_and_report(protocol, "--dry-run", IQA_DATA=str(data))
    assert "1 to do" in planned.stdout  # label_mean reads no annotations
    given = bench.run_and_report(protocol, IQA_DATA=str(data))
    assert given.returncode == 0, given.stdout + given.stderr
    assert "§ mpiqe" not in given.stdout
    runs = [run.spec for run in Store(bench.results).records()]
    assert len({spec.fit.annotations for spec in runs if spec.method == "mpiqe"} - {None}) == 2
    assert [spec.fit.annotations for spec in runs if spec.method == "label_mean"] == [None]
