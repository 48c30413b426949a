"""Reading pictures: exact values, and an error for files that are no strip."""

import io
import os
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from steelscan.data import open_index_picture, picture_frame, read_picture
from steelscan.strip import Frame
from steelscan.strip.errors import MaskError, PictureError

Save = Callable[..., bytes]
GREY = np.random.default_rng(0).integers(0, 256, (24, 40)).astype(np.uint8)
LOSSLESS = ["PNG", "BMP", "TIFF"]


@pytest.mark.parametrize("form", LOSSLESS)
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_grey_values_are_exact(save: Save, form: str, mode: str) -> None:
    content = save(GREY, form, mode)
    picture = read_picture(content)
    assert picture.dtype == np.uint8
    assert picture.flags.writeable
    assert picture.flags.c_contiguous
    assert np.array_equal(picture, GREY)
    assert picture_frame(content) == Frame(24, 40)


def test_webp(save: Save) -> None:
    assert np.array_equal(read_picture(save(GREY, "WEBP", "RGB", lossless=True)), GREY)


def test_one_bit_and_palette(save: Save) -> None:
    black_white = (GREY > 127).astype(np.uint8) * 255
    assert np.array_equal(read_picture(save(GREY > 127)), black_white)
    image = Image.fromarray(255 - GREY)
    image.putpalette([255 - value for value in range(256) for _ in range(3)])
    file = io.BytesIO()
    image.save(file, "PNG")
    assert np.array_equal(read_picture(file.getvalue()), GREY)


def test_colour_is_luma(save: Save) -> None:
    colour = np.random.default_rng(1).integers(0, 256, (24, 40, 3)).astype(np.uint8)
    luma = colour @ np.array([0.299, 0.587, 0.114])
    assert np.abs(read_picture(save(colour)) - luma).max() <= 0.51 + 1e-9


@pytest.mark.parametrize("how", [{}, {"keep_rgb": True}, {"progressive": True}])
@pytest.mark.parametrize("subsampling", [0, 2])
def test_colour_jpegs_become_luma(save: Save, how: dict[str, bool], subsampling: int) -> None:
    if how.get("keep_rgb"):
        subsampling = 0  # the only one that exists
    grey = cv2.GaussianBlur(GREY, (0, 0), 2)
    content = save(np.repeat(grey[..., None], 3, 2), "JPEG", subsampling=subsampling, **how)
    through_colour = np.asarray(Image.open(io.BytesIO(content)).convert("L")).astype(int)
    assert np.abs(read_picture(content) - through_colour).max() <= 1


def test_real_strips_read_as_through_colour_and_as_opencv(real_data: Path) -> None:
    paths = sorted((real_data / "severstal" / "train_images").iterdir())[:8]
    for path in paths:
        picture = read_picture(path)
        assert picture.shape == picture_frame(path) == (256, 1600)
        through_colour = np.asarray(Image.open(path).convert("L")).astype(int)
        assert np.abs(picture - through_colour).max() <= 1
        opencv = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE).astype(int)
        assert np.abs(picture - opencv).max() <= 1


def test_opaque_alpha_is_accepted_and_transparency_refused(save: Save) -> None:
    rgba = np.dstack([GREY, GREY, GREY, np.full_like(GREY, 255)])
    assert np.array_equal(read_picture(save(rgba)), GREY)
    rgba[3, 4, 3] = 254
    with pytest.raises(PictureError, match="transparent"):
        read_picture(save(rgba))
    with pytest.raises(PictureError, match="transparent"):
        read_picture(save(GREY, transparency=int(GREY[0, 0])))


def sixteen_bit_rgb() -> bytes:
    done, file = cv2.imencode(".png", np.full((4, 5, 3), 40000, np.uint16))
    assert done
    return file.tobytes()


@pytest.mark.parametrize(
    "content",
    [
        lambda save: save(GREY.astype(np.uint16) * 200),
        lambda save: save(GREY.astype(np.uint16) * 200, "TIFF"),
        lambda save: save(GREY.astype(np.int32), "TIFF"),
        lambda save: save(GREY.astype(np.float32), "TIFF"),
        lambda save: sixteen_bit_rgb(),  # noqa: ARG005
    ],
    ids=["png", "tiff", "int32", "float32", "rgb"],
)
def test_more_than_eight_bits_are_refused(save: Save, content: Callable[[Save], bytes]) -> None:
    for read in (read_picture, picture_frame):
        with pytest.raises(PictureError, match="Convert it to 8 bits with the range"):
            read(content(save))


def test_cmyk_pages_and_orientations_are_refused(save: Save) -> None:
    with pytest.raises(PictureError, match="CMYK"):
        read_picture(save(GREY, "JPEG", "CMYK"))
    page = Image.fromarray(GREY)
    with pytest.raises(PictureError, match="contains 2 pictures"):
        read_picture(save(GREY, "TIFF", save_all=True, append_images=[page]))
    turned = Image.Exif()
    turned[0x0112] = 6
    for form in ("JPEG", "PNG", "TIFF"):
        for read in (read_picture, picture_frame):
            with pytest.raises(PictureError, match="orientation"):
                read(save(GREY, form, exif=turned))
    turned[0x0112] = 1
    assert read_picture(save(GREY, "JPEG", exif=turned)).shape == (24, 40)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "BMP", "TIFF", "WEBP"])
def test_every_truncated_file_is_refused(save: Save, form: str) -> None:
    content = save(GREY, form)
    last = len(content) - (30 if form == "PNG" else 1)  # checksum and end mark of a PNG may lack
    for length in {1, 2, 10, len(content) // 4, len(content) // 2, last}:
        with pytest.raises(PictureError):
            read_picture(content[:length], "cut")


def test_files_that_are_no_pictures(tmp_path: Path, save: Save) -> None:
    def refused(path: Path, message: str) -> None:
        for read in (read_picture, picture_frame):
            with pytest.raises(PictureError, match=message) as caught:
                read(path)
            assert caught.value.where == str(path)

    (tmp_path / "empty.jpg").touch()
    refused(tmp_path / "empty.jpg", "is empty")
    (tmp_path / "text.jpg").write_text("this is no picture")
    refused(tmp_path / "text.jpg", "is no JPEG")
    refused(tmp_path / "missing.jpg", "does not exist")
    refused(tmp_path, "is a folder")
    (tmp_path / "animation.gif").write_bytes(save(GREY, "GIF"))
    refused(tmp_path / "animation.gif", "is no JPEG")


def test_the_message_has_the_name(save: Save) -> None:
    with pytest.raises(PictureError, match=r"^upload 7: is empty"):
        read_picture(b"", "upload 7")
    path_given = read_picture(save(GREY), "upload 7")
    assert path_given.shape == (24, 40)


def test_bombs_are_refused(save: Save, monkeypatch: pytest.MonkeyPatch) -> None:
    content = save(GREY)
    for limit in (100, 900):  # an error of Pillow's, and a warning
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
        with pytest.raises(PictureError, match="too many pixels"):
            read_picture(content)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "BMP", "TIFF", "WEBP"])
@pytest.mark.filterwarnings("ignore")
def test_damaged_bytes_are_a_picture_or_a_picture_error(save: Save, form: str) -> None:
    rng = np.random.default_rng(3)
    for _ in range(40):
        content = bytearray(save(GREY, form))
        for at in rng.integers(0, len(content), 8):
            content[at] = rng.integers(0, 256)
        try:
            picture = read_picture(bytes(content))
        except PictureError as error:
            assert "\n" not in str(error)  # noqa: PT017
        else:
            assert picture.dtype == np.uint8
            assert picture.ndim == 2


def test_index_pictures_keep_their_values(save: Save) -> None:
    index = (GREY % 4).astype(np.uint8)
    assert np.array_equal(open_index_picture(save(index)).values, index)
    image = Image.fromarray(index)
    image.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0, 0, 0, 255])
    file = io.BytesIO()
    image.save(file, "PNG")
    assert np.array_equal(open_index_picture(file.getvalue()).values, index)
    assert np.array_equal(open_index_picture(save(index > 0)).values, index > 0)
    for alike in (save(index, mode="RGB"), save(index, mode="LA"), save(index.astype(np.uint16))):
        assert np.array_equal(open_index_picture(alike).values, index)
        assert open_index_picture(alike).values.dtype == np.uint8
    coloured = np.dstack([index, index, index + 1])
    for wrong in (save(coloured), save(index.astype(np.uint16) + 253), b"", b"text"):
        with pytest.raises(MaskError):
            open_index_picture(wrong)


@pytest.mark.parametrize(("form", "how"), [("JPEG", {}), ("TIFF", {"compression": "jpeg"})])
def test_masks_are_never_read_from_a_jpeg(form: str, how: dict[str, str]) -> None:
    file = io.BytesIO()
    Image.new("L", (8, 8)).save(file, form, **how)
    with pytest.raises(MaskError, match=r"a\.png: is a JPEG, .* Save masks without loss, as PNG"):
        open_index_picture(file.getvalue(), "a.png")


def test_the_message_on_deep_masks_is_about_classes(save: Save) -> None:
    with pytest.raises(MaskError, match=r"has the value 300.*from 1 to 255"):
        open_index_picture(save(np.full((4, 4), 300, np.uint16)))


@pytest.mark.parametrize("orientation", [0, 1, 9, 65_535])
def test_an_orientation_that_rotates_nothing_is_upright(save: Save, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    for form in ("PNG", "JPEG"):
        assert read_picture(save(GREY, form, exif=exif)).shape == GREY.shape


def test_a_png_with_mebibytes_of_metadata(save: Save) -> None:
    info = PngImagePlugin.PngInfo()
    info.add_text("xmp", "a" * (3 << 20), zip=True)
    info.add_itxt("more", "b" * (3 << 20), zip=True)
    content = save(GREY, pnginfo=info)
    assert np.array_equal(read_picture(content), GREY)
    assert picture_frame(content) == Frame(24, 40)


def test_a_png_of_text_alone_is_refused(save: Save) -> None:
    info = PngImagePlugin.PngInfo()
    info.add_text("bomb", "a" * (65 << 20), zip=True)
    with pytest.raises(PictureError, match="MiB of text"):
        read_picture(save(GREY, pnginfo=info))


def test_a_pipe_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.png")
    for read in (read_picture, picture_frame):
        with pytest.raises(PictureError, match=r"a\.png: is a pipe"):
            read(tmp_path / "a.png")
    with pytest.raises(MaskError, match="is a pipe"):
        open_index_picture(tmp_path / "a.png")
