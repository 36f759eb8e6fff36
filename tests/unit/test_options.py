"""Options: every field can be drawn as a form, and bad values are refused in plain words."""

from __future__ import annotations

from dataclasses import fields

import pytest

from unlearn_core.methods import METHODS
from unlearn_core.methods.cagul import CagulConfig
from unlearn_core.methods.options import from_values
from unlearn_core.vlm.errors import BadOption


@pytest.mark.parametrize("name", METHODS)
def test_every_option_explains_itself(name: str) -> None:
    for f in fields(METHODS[name].config):
        assert f.metadata["label"], f.name
        assert len(f.metadata["help"]) > 10 or f.name == "seed", f.name
        assert METHODS[name].config.__dataclass_params__.frozen


@pytest.mark.parametrize(
    "values",
    [
        {"steps": 0},
        {"ratio": float("nan")},
        {"ratio": 2},
        {"select": "best"},
        {"steps": "many"},
        {"steps": 1.5},
        {"rate": float("inf")},
        {"nonsense": 1},
        {"steps": None},
    ],
)
def test_bad_values_are_refused(values: dict[str, object]) -> None:
    with pytest.raises(BadOption):
        from_values(CagulConfig, values)


def test_values_from_a_form_are_converted() -> None:
    config = from_values(CagulConfig, {"steps": 20.0, "ratio": "0.5", "select": "random"})
    assert (config.steps, config.ratio, config.select) == (20, 0.5, "random")
