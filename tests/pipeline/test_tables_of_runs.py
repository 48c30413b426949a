"""The tables in a run folder: one that is cut off is damaged, and never a shorter table."""

from pathlib import Path

import numpy as np
import pytest

from steelscan.evaluation.metrics import Pairs
from steelscan.pipeline import Evaluated, RunFolder, read_evaluated
from steelscan.pipeline import pixel_counts as pairs_file
from steelscan.pipeline.pixel_counts import write_evaluated
from steelscan.pipeline.predicted_strips import read_predicted_strips
from steelscan.strip.errors import RunError

PREDICTED = "image,height,width\na.jpg,256,1600\nb.jpg,,\nc.jpg,256,1600\n"


def test_predicted_strips_are_read_whole_or_not_at_all(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    run.predicted.write_text(PREDICTED)
    assert read_predicted_strips(run) == {"a.jpg": (256, 1600), "b.jpg": None, "c.jpg": (256, 1600)}
    last = len(PREDICTED) - len("c.jpg,256,1600\n")
    for end in range(last + 1, len(PREDICTED)):
        run.predicted.write_text(PREDICTED[:end])
        with pytest.raises(RunError, match=r"predicted\.csv: is broken"):
            read_predicted_strips(run)


@pytest.mark.parametrize(
    "size", ["256,", ",1600", "a,b", "1e9,1", "999999999,9", "9" * 5000 + ",1"]
)
def test_sizes_of_predicted_strips_are_checked(size: str, tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    run.predicted.write_text(f"image,height,width\na.jpg,{size}\n")
    with pytest.raises(RunError, match="is broken"):
        read_predicted_strips(run)


def test_pairs_that_break_off_are_broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = RunFolder(tmp_path)
    monkeypatch.setattr(pairs_file.RunFolder, "load_record", lambda _: None)
    counts = np.full((2, 2), 12)
    evaluated = Evaluated(("a", "b"), np.arange(2), np.arange(2), Pairs(counts, counts, counts))
    write_evaluated(run, {"out of fold": evaluated})
    assert read_evaluated(run, 2)["out of fold"].pairs.truth.tolist() == counts.tolist()
    whole = run.pairs.read_text()
    cut = [whole[:-1], whole[:-2], whole[:-4], whole[:-30], whole.replace("12", "1" * 30)]
    for text in cut:
        run.pairs.write_text(text)
        with pytest.raises(RunError, match=r"pairs\.csv: is damaged"):
            read_evaluated(run, 2)
        run.seal(run.pairs)  # by its checksum it is what was written; its rows still are not
        with pytest.raises(RunError, match=r"pairs\.csv: is broken"):
            read_evaluated(run, 2)
