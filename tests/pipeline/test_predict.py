"""Pictures to masks, one by one, into a folder."""

import io
import shutil
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from safetensors.torch import load_file, save_file

from steelscan.pipeline import Outcome, RunFolder, predict
from steelscan.strip import Frame, decode
from steelscan.strip.errors import InputError, OutputError, PictureError, RunError
from steelscan.strip.tables import read_mask_table

Finished = tuple[Path, Outcome]


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Pictures of many sizes, in folders, with a name that is not ASCII."""
    folder = tmp_path / "pictures"
    (folder / "näher").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for name, shape in {"a.jpg": (64, 160), "b.png": (1, 7), "näher/c.jpg": (70, 90)}.items():
        Image.fromarray(rng.integers(0, 255, shape, np.uint8)).save(folder / name)
    return folder


def test_every_picture_gets_a_mask_an_overlay_and_rows(
    finished: Finished, pictures: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    done = predict(finished[0], str(pictures), out, device="cpu")
    assert done.pictures == 3
    assert not done.skipped
    table = read_mask_table(out / "submission.csv")
    for name, shape in {"a": (64, 160), "b": (1, 7), "näher/c": (70, 90)}.items():
        mask = cv2.imdecode(np.fromfile(out / "masks" / f"{name}.png", np.uint8), -1)
        assert mask.shape == shape
        image = f"{name}.{'png' if name == 'b' else 'jpg'}"
        expected = np.zeros(shape, np.uint8)
        for class_id, text in enumerate(table.texts(image, 4), start=1):
            expected[decode(text, Frame(*shape))] = class_id
        assert np.array_equal(mask, expected)
        assert (out / "overlays" / f"{name}.jpg").exists()
    others = {path.name for path in out.iterdir() if path.is_file()}
    assert others == {".lock", "predicted_by.txt", "submission.csv"}
    assert sum(path.is_file() for path in out.rglob("*")) == 3 + 3 + len(others)


def test_folder_zip_glob_and_file_give_the_same_masks(
    finished: Finished, pictures: Path, tmp_path: Path
) -> None:
    packed = tmp_path / "packed.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        for path in sorted(pictures.rglob("*.*")):
            archive.write(path, path.relative_to(pictures))
    ways = {
        "folder": str(pictures),
        "zip": str(packed),
        "glob": str(pictures / "*.jpg"),
        "file": str(pictures / "a.jpg"),
    }
    masks = {}
    for way, where in ways.items():
        predict(finished[0], where, tmp_path / way, device="cpu", overlays=False)
        masks[way] = (tmp_path / way / "masks" / "a.png").read_bytes()
        assert not (tmp_path / way / "overlays").exists()
    assert len(set(masks.values())) == 1


def _broken(kind: str) -> bytes:
    whole = io.BytesIO()
    picture = np.random.default_rng(1).integers(0, 255, (64, 96), np.uint8)
    if kind == "16-bit":
        Image.fromarray(picture.astype(np.uint16) * 250).save(whole, "png")
    elif kind == "transparent":
        Image.fromarray(np.dstack([picture] * 4)).save(whole, "png")
    else:
        Image.fromarray(picture).save(whole, "jpeg")
    content = whole.getvalue()
    return {"empty": b"", "text": b"no picture", "cut off": content[: len(content) // 2]}.get(
        kind, content
    )


@pytest.mark.parametrize("kind", ["empty", "text", "cut off", "16-bit", "transparent"])
def test_a_bad_picture_stops_or_is_listed_and_never_becomes_an_empty_mask(
    finished: Finished, pictures: Path, tmp_path: Path, kind: str
) -> None:
    (pictures / "bad.jpg").write_bytes(_broken(kind))
    with pytest.raises(PictureError, match=r"bad\.jpg"):
        predict(finished[0], str(pictures), tmp_path / "out", device="cpu")
    assert not (tmp_path / "out" / "submission.csv").exists()
    done = predict(finished[0], str(pictures), tmp_path / "out", device="cpu", on_error="skip")
    assert [name for name, _ in done.skipped] == ["bad.jpg"]
    assert "bad.jpg" in (tmp_path / "out" / "skipped.csv").read_text()
    assert not (tmp_path / "out" / "masks" / "bad.png").exists()
    table = read_mask_table(tmp_path / "out" / "submission.csv")
    assert table.unread == {"bad.jpg"}
    assert table.texts("bad.jpg", 4) == ("unread",) * 4
    (pictures / "bad.jpg").unlink()
    predict(finished[0], str(pictures), tmp_path / "out", device="cpu")
    assert not (tmp_path / "out" / "skipped.csv").exists()
    assert "bad" not in (tmp_path / "out" / "submission.csv").read_text()


def test_pictures_that_would_share_a_mask_are_refused(
    finished: Finished, pictures: Path, tmp_path: Path
) -> None:
    shutil.copy(pictures / "a.jpg", pictures / "a.png")
    with pytest.raises(InputError, match="only in the suffix"):
        predict(finished[0], str(pictures), tmp_path / "out", device="cpu")
    assert not (tmp_path / "out").exists()


def test_a_folder_that_is_no_run_or_not_finished_is_refused(
    finished: Finished, pictures: Path, tmp_path: Path
) -> None:
    with pytest.raises(RunError, match="is not a run"):
        predict(tmp_path, str(pictures), tmp_path / "out", device="cpu")
    half = tmp_path / "half"
    shutil.copytree(finished[0], half)
    (half / "thresholds.json").unlink()
    with pytest.raises(RunError, match="has not ended"):
        predict(half, str(pictures), tmp_path / "out", device="cpu")


def test_a_network_that_says_no_number_is_an_error_and_not_sound_steel(
    finished: Finished, pictures: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished[0], run)
    for path in run.glob("networks/segment-*/checkpoint.safetensors"):
        tensors = load_file(path)
        for tensor in tensors.values():
            if tensor.is_floating_point():
                tensor.fill_(float("nan"))
        save_file(tensors, path)
    with pytest.raises(RunError, match="not a number"):
        predict(run, str(pictures), tmp_path / "out", device="cpu")


def test_the_folder_of_another_run_is_not_mixed_with(
    finished: Finished, pictures: Path, tmp_path: Path
) -> None:
    predict(finished[0], str(pictures), tmp_path / "out", device="cpu")
    other = tmp_path / "other"
    shutil.copytree(finished[0], other)
    path = other / "thresholds.json"
    path.write_text(path.read_text().replace('"pixels": [', '"pixels":  ['))
    RunFolder(other).seal(path)
    with pytest.raises(RunError, match="another run"):
        predict(other, str(pictures), tmp_path / "out", device="cpu")


def test_an_output_folder_that_cannot_be_written_is_one_error(
    finished: Finished, pictures: Path
) -> None:
    with pytest.raises(OutputError, match="cannot be written"):
        predict(finished[0], str(pictures), Path("/proc/out"), device="cpu")


def test_real_strips_are_read_and_answered(
    finished: Finished, real_data: Path, tmp_path: Path
) -> None:
    where = str(real_data / "severstal" / "unlabelled_images" / "00*.jpg")
    done = predict(finished[0], where, tmp_path / "out", device="cpu")
    assert done.pictures == 2
