"""Files that a script wrote from the formats' definitions are read to the pixel."""

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from steelscan.formats import FORMATS, Format

GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture(scope="module")
def make() -> ModuleType:
    spec = importlib.util.spec_from_file_location("golden_make", GOLDEN / "make.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("each", FORMATS.values(), ids=lambda each: each.name)
def test_masks_are_those_of_the_script(each: Format, make: ModuleType) -> None:
    read = {Path(one.image).stem: one for one in each.read(GOLDEN / each.name / each.file)}
    truth = make.masks()
    assert read.keys() == truth.keys()
    for name, masks in truth.items():
        wanted = masks if each.overlaps else make.exclusive(masks)
        assert read[name].classes.names == make.CLASSES
        np.testing.assert_array_equal(read[name].masks, wanted, err_msg=name)
        assert (read[name].clipped, read[name].dropped) == (0, 0)
    assert read["clean"].ignored == (40 if each.name == "index_pngs" else 0)


def test_the_masks_contain_the_hard_cases(make: ModuleType) -> None:
    truth = make.masks()
    knots, specks = truth["knots"], truth["specks"]
    assert (knots.sum(axis=0) > 1).any()
    assert specks[0].sum() == 1
    assert all(knots[2][side].all() for side in (np.s_[0], np.s_[-1], np.s_[:, 0], np.s_[:, -1]))
    assert not truth["clean"].any()


def test_the_files_are_those_that_the_script_makes(make: ModuleType, tmp_path: Path) -> None:
    make.main(tmp_path)
    made = {path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file()}
    kept = {path.relative_to(GOLDEN) for path in GOLDEN.rglob("*.*") if path.suffix != ".py"}
    assert made == {path for path in kept if "__pycache__" not in path.parts}
    for path in made:
        if path.suffix == ".png":  # packed otherwise by another version of zlib
            with Image.open(tmp_path / path) as one, Image.open(GOLDEN / path) as other:
                assert one.tobytes() == other.tobytes()
        elif path.parts[0] != "labelme":
            assert (tmp_path / path).read_bytes() == (GOLDEN / path).read_bytes()
