"""Settings of the mill: number and size of strips, frequency and size of defects.

Numbers are statistics of the annotations of the competition's 12,568 training images, unless
stated otherwise; areas and lengths are in pixels of a strip of 256x1600.
"""

from math import sqrt

from pydantic import Field, field_validator

from steelscan.strip import Frame, Share, Spec

REFERENCE = Frame(256, 1600)
"""The frame of areas and lengths in settings; they scale with the area of other frames."""

Combination = tuple[tuple[int, ...], float]
"""Class ids on one strip, and how often they occur (any positive weight)."""

COMBINATIONS: tuple[Combination, ...] = (
    ((3,), 4759),
    ((1,), 769),
    ((4,), 516),
    ((3, 4), 284),
    ((2,), 195),
    ((1, 3), 91),
    ((1, 2), 35),
    ((2, 3), 14),
    ((1, 2, 3), 2),
    ((2, 4), 1),
)
"""Defective strips of the competition by their classes; 1 and 4 never occur together."""


class DefectStatistics(Spec):
    """Statistics of the masks of one class."""

    area: float = Field(gt=0)
    """Median area of a mask, pixels of the reference frame."""
    area_log_std: float = Field(ge=0)
    """Standard deviation of the logarithm of the area: ln(95 % / 5 % quantile) / 3.29."""
    area_limits: tuple[float, float]
    """Smallest mask, and the 99 % quantile."""
    components: float = Field(ge=1)
    """Mean number of connected components of a mask, which has a geometric distribution."""
    border: Share
    """Share of masks that touch the edge of the picture."""
    elongation: float = Field(gt=0)
    """Median height over width of a component's box."""
    elongation_log_std: float = Field(ge=0)
    """Standard deviation of the logarithm of the elongation."""
    reach: float = Field(gt=0)
    """Standard deviation of the column of the components of a mask."""


_MEASURED = (
    # area, its log_std and limits, components, border, elongation and its log_std, reach
    (3242, 0.81, (241, 14463), 3.4, 0.45, 1.7, 0.5, 250),  # 1: pits
    (2570, 0.73, (316, 10294), 1.3, 0.77, 7.9, 0.4, 50),  # 2: faint scratches near an end
    (11433, 1.21, (115, 180026), 2.8, 0.76, 4.5, 0.9, 350),  # 3: scratches, streaks, bands
    (26045, 0.9, (1579, 133789), 2.4, 0.57, 0.8, 0.5, 200),  # 4: rough patches, rolled-in scale
)
"""The fields of `DefectStatistics`, a row per class of the competition. The elongations are those
of 3,180 masks (class 3 is drawn longer, because the picture's height cuts it); the reach is ours.
"""

STATISTICS = tuple(
    DefectStatistics.model_validate(dict(zip(DefectStatistics.model_fields, row, strict=True)))
    for row in _MEASURED
)
"""The four classes of the competition, in order."""


class StripSize(Spec):
    """The seed of a mill, and the size of its strips in pixels."""

    seed: int = Field(default=0, ge=0)
    height: int = Field(default=REFERENCE.height, ge=64)
    width: int = Field(default=REFERENCE.width, ge=64)

    @property
    def frame(self) -> Frame:
        """Height and width of every strip."""
        return Frame(self.height, self.width)

    @property
    def unit(self) -> float:
        """Pixels of this frame per pixel of the reference frame, along one axis."""
        return sqrt(self.frame.pixels / REFERENCE.pixels)


class Mill(StripSize):
    """A mill that makes ``strips`` synthetic strips; equal settings give equal strips."""

    strips: int = Field(ge=1)
    clean_share: Share = 5902 / 12568
    """Share of strips without any defect."""
    combinations: tuple[Combination, ...] = COMBINATIONS
    """Classes of the defective strips; only the ratios of the weights count."""
    statistics: tuple[DefectStatistics, ...] = Field(default=STATISTICS, min_length=4, max_length=4)
    roll: tuple[int, int] = (4, 12)
    """Least and greatest length of a roll: strips with the same steel, light and camera."""
    duplicate_share: Share = 0.1
    """Share of strips, except the first of a roll, that nearly repeat the strip before them."""
    black_share: Share = 0.3
    """Share of rolls with the end of the steel in the picture, and black beyond it."""
    faint_share: Share = 0.1
    """Share of defects that are hardly visible."""

    @field_validator("combinations")
    @classmethod
    def _known_classes(cls, combinations: tuple[Combination, ...]) -> tuple[Combination, ...]:
        for class_ids, weight in combinations:
            if not class_ids or list(class_ids) != sorted(set(class_ids) & {1, 2, 3, 4}):
                raise ValueError(f"classes {class_ids} are not distinct ids from 1 to 4 in order")
            if weight <= 0:
                raise ValueError(f"the weight {weight} of classes {class_ids} is not positive")
        if not combinations:
            raise ValueError("at least one combination of classes is needed")
        return combinations

    @field_validator("roll")
    @classmethod
    def _some_strips(cls, roll: tuple[int, int]) -> tuple[int, int]:
        if not 1 <= roll[0] <= roll[1]:
            raise ValueError("give the least and the greatest length of a roll, at least 1")
        return roll
