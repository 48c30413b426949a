"""Make the small data sets in this folder, one per format, from masks drawn here.

Everything is written from the definitions that the formats' own pages give, or by pycocotools for
COCO's strings; nothing of steelscan is imported, so that a reader and a writer that are wrong
alike are noticed.

- COCO: counts down the columns, the first outside (cocodataset.org, data format).
- CVAT for images 1.1: counts along the rows of the mask's box, the first outside (docs.cvat.ai,
  XML annotation format).
- Label Studio: bits of thi.ng/umbrella's rle-pack over red, green, blue, alpha of each pixel;
  polygons in percent of width and height.
- LabelMe 5: a PNG in base64 between two corners, both inside; polygons in pixels.
- YOLO: shares of width and height; holes by a seam from the outer loop to the inner one and back,
  as Ultralytics' merge of segments does.
- Pascal VOC: colours of labelmap.txt, as CVAT exports it.

Run: python tests/formats/golden/make.py
"""

import base64
import io
import json
from pathlib import Path

import numpy as np
from PIL import Image
from pycocotools import mask as coco_api

HEIGHT, WIDTH = 20, 28
CLASSES = ("scratch", "hole", "rolled in")
COLOURS = ((255, 0, 0), (0, 200, 55), (17, 17, 200))
Loop = list[tuple[int, int]]


def masks() -> dict[str, np.ndarray]:
    """Masks of each picture, bool ``(classes, height, width)``."""
    named = {name: np.zeros((3, HEIGHT, WIDTH), np.bool_) for name in ("clean", "knots", "specks")}
    scratch, hole, rolled = named["knots"]
    scratch[3:15, 4:18] = True
    scratch[6:11, 7:13] = False  # a hole,
    scratch[8, 9] = True  # and an island in it
    hole[9:20, 14:28] = True  # overlaps the scratch, and ends at the corner
    rolled[0, :] = rolled[:, 0] = rolled[-1, :] = rolled[:, -1] = True  # all four borders
    scratch, hole, rolled = named["specks"]
    scratch[12, 5] = True  # one pixel
    hole[2:5, 2:5] = hole[5:8, 5:8] = True  # touch by their corners
    hole[0, 27] = hole[19, 0] = True  # single pixels in corners of the picture
    rolled[:, 10] = True  # a line from border to border
    rolled[4:6, 20:25] = rolled[5:9, 22] = True
    return named


def exclusive(planes: np.ndarray) -> np.ndarray:
    """The same with one class a pixel: the last one."""
    index = index_of(planes)
    return np.stack([index == number for number in (1, 2, 3)])


def index_of(planes: np.ndarray) -> np.ndarray:
    """uint8 ``(height, width)``: 0, or the number of the last class there."""
    index = np.zeros((HEIGHT, WIDTH), np.uint8)
    for number, plane in enumerate(planes, start=1):
        index[plane] = number
    return index


def counts(values: list[bool]) -> list[int]:
    """Lengths of runs, taking turns, the first outside."""
    out, last = [0], False
    for value in values:
        if value != last:
            out.append(0)
            last = value
        out[-1] += 1
    return out


def loops(plane: np.ndarray) -> list[Loop]:
    """Closed ways along the sides of pixels, steel to the right of each step."""
    steps: dict[tuple[int, int], list[tuple[int, int]]] = {}
    padded = np.pad(plane, 1)
    for row, column in np.argwhere(plane).tolist():
        around = padded[row : row + 3, column : column + 3]
        sides = (
            (around[0, 1], (column, row), (column + 1, row)),
            (around[1, 2], (column + 1, row), (column + 1, row + 1)),
            (around[2, 1], (column + 1, row + 1), (column, row + 1)),
            (around[1, 0], (column, row + 1), (column, row)),
        )
        for covered, start, end in sides:
            if not covered:
                steps.setdefault(start, []).append(end)
    out: list[Loop] = []
    while any(steps.values()):
        first = next(corner for corner, ends in steps.items() if ends)
        loop, at = [first], steps[first].pop()
        while at != first:
            loop.append(at)
            at = steps[at].pop()
        out.append(loop)
    return out


def seamed(plane: np.ndarray) -> Loop:
    """All loops as one, joined by seams that are walked there and back."""
    first, *rest = loops(plane)
    out = [*first, first[0]]
    for loop in rest:
        out += [*loop, loop[0], first[0]]
    return out


def bits(plane: np.ndarray) -> list[int]:
    """Label Studio's bytes, with sizes of its own choice, runs and single values by turns."""
    values = np.repeat(plane.reshape(-1), 4).astype(int) * 255
    sizes = (2, 5, 9, 15)
    out = f"{len(values):032b}" + f"{7:05b}" + "".join(f"{size - 1:04b}" for size in sizes)
    at = 0
    while at < len(values):
        same = 1
        while at + same < len(values) and values[at + same] == values[at]:
            same += 1
        run = same > 4
        length = min(same, 1 << 15) if run else min(4, len(values) - at)
        which = next(n for n, size in enumerate(sizes) if length - 1 < 1 << size)
        out += f"{int(run)}{which:02b}{length - 1:0{sizes[which]}b}"
        out += "".join(f"{value:08b}" for value in values[at : at + (1 if run else length)])
        at += length
    out += "0" * (-len(out) % 8)
    return [int(out[byte : byte + 8], 2) for byte in range(0, len(out), 8)]


def png(array: np.ndarray) -> bytes:
    """Content of a PNG."""
    file = io.BytesIO()
    Image.fromarray(array).save(file, "PNG")
    return file.getvalue()


def box(plane: np.ndarray) -> tuple[int, int, int, int]:
    """Left, top, right and bottom, the latter two inside."""
    rows, columns = np.nonzero(plane)
    return int(columns.min()), int(rows.min()), int(columns.max()), int(rows.max())


def coco(root: Path) -> None:
    """Lists of counts for knots, strings of pycocotools and polygons for specks."""
    images, annotations = [], []
    for image_id, (name, planes) in enumerate(masks().items(), start=10):
        size = {"height": HEIGHT, "width": WIDTH}
        images.append({"id": image_id, "file_name": f"{name}.png", **size})
        for category, plane in enumerate(planes, start=1):
            shape: object = {"size": [HEIGHT, WIDTH], "counts": counts(list(plane.T.reshape(-1)))}
            if name == "specks" and category == 2:
                packed = coco_api.encode(np.asfortranarray(plane.astype(np.uint8)))
                shape = {"size": [HEIGHT, WIDTH], "counts": packed["counts"].decode()}
            elif name == "specks":
                shape = [[float(at) for corner in loop for at in corner] for loop in loops(plane)]
            if plane.any():
                number = {"id": len(annotations) + 1, "image_id": image_id, "category_id": category}
                annotations.append({**number, "segmentation": shape, "iscrowd": 0})
    annotations.reverse()  # their order means nothing
    categories = [{"id": at, "name": name} for at, name in enumerate(CLASSES, start=1)]
    content = {"images": images, "categories": categories, "annotations": annotations}
    put(root / "annotations.json", json.dumps(content))


def cvat(root: Path) -> None:
    """Masks for knots, polygons for specks."""
    labels = "".join(f"<label><name>{name}</name></label>" for name in CLASSES)
    lines = [
        f"<annotations><version>1.1</version><meta><job><labels>{labels}</labels></job></meta>"
    ]
    for number, (name, planes) in enumerate(masks().items()):
        size = f'width="{WIDTH}" height="{HEIGHT}"'
        lines.append(f'<image id="{number}" name="{name}.png" {size}>')
        for label, plane in zip(CLASSES, planes, strict=True):
            if name == "knots":
                left, top, right, bottom = box(plane)
                inside = plane[top : bottom + 1, left : right + 1]
                rle = ", ".join(map(str, counts(list(inside.reshape(-1)))))
                place = f'left="{left}" top="{top}"'
                extent = f'width="{right - left + 1}" height="{bottom - top + 1}"'
                lines.append(f'<mask label="{label}" rle="{rle}" {place} {extent} z_order="0"/>')
            else:
                for loop in loops(plane):
                    points = ";".join(f"{x:.2f},{y:.2f}" for x, y in loop)
                    lines.append(f'<polygon label="{label}" points="{points}" z_order="0"/>')
        lines.append("</image>")
    put(root / "annotations.xml", "\n".join([*lines, "</annotations>"]))


def label_studio(root: Path) -> None:
    """Brush masks for knots, polygons for specks; the clean picture's size stands in its data."""
    tasks = []
    for number, (name, planes) in enumerate(masks().items(), start=1):
        size = {"original_width": WIDTH, "original_height": HEIGHT, "image_rotation": 0}
        result: list[object] = []
        for label, plane in zip(CLASSES, planes, strict=True):
            if name == "knots":
                value = {"format": "rle", "rle": bits(plane), "brushlabels": [label]}
                result.append({"type": "brushlabels", **size, "value": value})
                continue
            for loop in loops(plane):
                points = [[100 * x / WIDTH, 100 * y / HEIGHT] for x, y in loop]
                shape = {"points": points, "closed": True, "polygonlabels": [label]}
                result.append({"type": "polygonlabels", **size, "value": shape})
        data = {"image": f"/data/upload/7/{name}.png", "width": WIDTH, "height": HEIGHT}
        done = {"id": number, "was_cancelled": False, "result": result}
        tasks.append({"id": number, "data": data, "annotations": [done]})
    put(root / "annotations.json", json.dumps(tasks))
    put(root / "classes.txt", "\n".join(CLASSES))


def labelme(root: Path) -> None:
    """Masks for knots, polygons for specks."""
    for name, planes in masks().items():
        shapes: list[object] = []
        for label, plane in zip(CLASSES, planes, strict=True):
            if name == "knots":
                left, top, right, bottom = box(plane)
                packed = png(plane[top : bottom + 1, left : right + 1])
                ends = [[float(left), float(top)], [float(right), float(bottom)]]
                shape = {"label": label, "points": ends, "shape_type": "mask"}
                shapes.append({**shape, "mask": base64.b64encode(packed).decode()})
                continue
            kind = {"label": label, "shape_type": "polygon"}
            shapes += [{**kind, "points": loop} for loop in loops(plane)]
        size = {"imageHeight": HEIGHT, "imageWidth": WIDTH, "imageData": None}
        put(
            root / f"{name}.json", json.dumps({"shapes": shapes, "imagePath": f"{name}.png"} | size)
        )
    put(root / "labels.txt", "\n".join(("__ignore__", "_background_", *CLASSES)))


def yolo(root: Path) -> None:
    """One polygon a class, holes and pieces joined by seams."""
    for name, planes in masks().items():
        lines = [
            f"{at} " + " ".join(f"{x / WIDTH:.6f} {y / HEIGHT:.6f}" for x, y in seamed(plane))
            for at, plane in enumerate(planes)
            if plane.any()
        ]
        put(root / "labels" / f"{name}.txt", "\n".join(lines))
    names = "\n".join(f"  {at}: {name}" for at, name in enumerate(CLASSES))
    put(root / "data.yaml", f"path: .\ntrain: images\nnames:\n{names}\n")
    pictures(root / "images")


def voc(root: Path) -> None:
    """Colours of its own, as CVAT lets users choose them."""
    for name, planes in masks().items():
        table = np.array(((0, 0, 0), *COLOURS), np.uint8)
        put(root / "SegmentationClass" / f"{name}.png", png(table[index_of(planes)]))
    listed = zip(("background", *CLASSES), ((0, 0, 0), *COLOURS), strict=True)
    lines = [f"{name}:{red},{green},{blue}::" for name, (red, green, blue) in listed]
    put(root / "labelmap.txt", "\n".join(("# label:color_rgb:parts:actions", *lines)))
    pictures(root / "JPEGImages")


def index_pngs(root: Path) -> None:
    """Values 7, 9 and 200 for the classes; 255 is neither, at the left of the clean picture."""
    values = np.array((0, 7, 9, 200), np.uint8)
    for name, planes in masks().items():
        index = values[index_of(planes)]
        if name == "clean":
            index[:, :2] = 255
        put(root / "masks" / f"{name}.png", png(index))
    rows = "".join(f"{at},{name}\n" for at, name in zip((7, 9, 200), CLASSES, strict=True))
    put(root / "classes.csv", f"value,name\n{rows}255,ignore\n")
    pictures(root / "images")


def class_pngs(root: Path) -> None:
    """255 where the class is."""
    for name, planes in masks().items():
        for label, plane in zip(CLASSES, planes, strict=True):
            put(root / "masks" / label / f"{name}.png", png(plane.astype(np.uint8) * 255))
    rows = "".join(f"{at},{name}\n" for at, name in enumerate(CLASSES, start=1))
    put(root / "classes.csv", f"value,name\n{rows}")
    pictures(root / "images")


def run_lengths(root: Path) -> None:
    """Pairs of start, counted from 1 down the columns, and length."""
    lines = ["ImageId,ClassId,EncodedPixels"]
    for name, planes in masks().items():
        for number, plane in enumerate(planes, start=1):
            pairs, at = [], 1
            for turn, length in enumerate(counts(list(plane.T.reshape(-1)))):
                pairs += [str(at), str(length)] if turn % 2 else []
                at += length
            lines += [f"{name}.png,{number},{' '.join(pairs)}"] if pairs else []
    put(root / "train.csv", "\n".join(lines) + "\n")
    rows = "".join(f"{at},{name}\n" for at, name in enumerate(CLASSES, start=1))
    put(root / "classes.csv", f"value,name\n{rows}")
    pictures(root / "train_images")


FORMATS = (class_pngs, coco, cvat, index_pngs, label_studio, labelme, run_lengths, voc, yolo)


def pictures(root: Path) -> None:
    """Pictures for formats that do not list names and sizes."""
    for name in masks():
        put(root / f"{name}.png", png(np.full((HEIGHT, WIDTH), 90, np.uint8)))


def put(path: Path, content: str | bytes) -> None:
    """Write a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)


def main(root: Path = Path(__file__).parent) -> None:
    """Write all data sets."""
    for each in FORMATS:
        each(root / each.__name__)


if __name__ == "__main__":
    main()
