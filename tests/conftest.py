"""What all tests share: where real data lies, when it is there, and networks of shapes alone."""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

# How long an example takes depends on what else the machine does; it proves nothing here.
settings.register_profile("steelscan", deadline=None)
settings.load_profile("steelscan")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real strips: $STEELSCAN_DATA, or shared/data beside the project."""
    beside = Path(__file__).parents[2] / "shared" / "data"
    folder = Path(os.environ.get("STEELSCAN_DATA", beside))
    if not folder.is_dir():
        pytest.skip(f"no real strips here: {folder} (name their folder in STEELSCAN_DATA)")
    return folder


@pytest.fixture(scope="session")
def only_shapes() -> Callable[[], AbstractContextManager[None]]:
    """Gives a context in which torch computes shapes and no numbers, on its meta device.

    Random weights are not drawn there, and a batch norm compares its channels alone: torch does
    both in Python on that device, and they would be most of the time of a deep network.
    """
    import torch
    from torch import Tensor, nn
    from torch.nn import functional
    from torch.overrides import TorchFunctionMode

    draws = {
        nn.init.normal_,
        nn.init.trunc_normal_,
        nn.init.uniform_,
        nn.init.kaiming_normal_,
        nn.init.kaiming_uniform_,
        nn.init.xavier_uniform_,
        Tensor.normal_,
        Tensor.uniform_,
    }

    class ShapesAlone(TorchFunctionMode):
        def __torch_function__(
            self, function: Any, _: Any, arguments: Any = (), named: Any = None
        ) -> Any:
            named = named or {}
            if function in draws:
                return arguments[0] if arguments else named["tensor"]
            if function is functional.batch_norm:
                planes, mean = arguments[:2]
                assert planes.shape[1] == len(mean)
                return planes
            return function(*arguments, **named)

    @contextmanager
    def shapes() -> Iterator[None]:
        with torch.device("meta"), ShapesAlone():
            yield

    return shapes


@pytest.fixture(scope="session")
def of_shapes(only_shapes: Callable[[], AbstractContextManager[None]]) -> Callable[[Any], Any]:
    """Gives a network of its own without numbers, for four classes; each is built once."""
    from steelscan.models import build_network, without_weights

    @cache
    def build(spec: Any) -> Any:
        with only_shapes():
            return build_network(without_weights(spec), 4)[0].eval()

    return lambda spec: deepcopy(build(spec))
