from __future__ import annotations

import pytest

from ccafl_plugin.options import Options, options
from ccafl_plugin.utils.errors import CCAFLError


def test_defaults_are_the_papers_market1501_values():
    assert options == Options()
    assert (options.iters_per_epoch, options.warmup_epochs, options.warmup_factor) == (200, 10, 0.01)
    assert (options.bias_lr_factor, options.prompt_length, options.input_size) == (2.0, 4, (256, 128))


def test_update_and_reset():
    options.update(seed=7, input_size=[128, 64], bias_lr_factor=3)
    assert options.seed == 7
    assert options.input_size == (128, 64)
    assert options.bias_lr_factor == 3.0
    assert type(options.bias_lr_factor) is float
    options.reset()
    assert options == Options()


def test_override_ends_with_the_block_even_on_an_error():
    options.update(seed=3)
    with pytest.raises(RuntimeError), options.override(seed=4, warmup_epochs=0) as inside:
        assert inside is options
        assert (options.seed, options.warmup_epochs) == (4, 0)
        options.iters_per_epoch = 5
        raise RuntimeError
    assert options == Options(seed=3)


def test_unknown_name_is_named_with_the_nearest():
    with pytest.raises(CCAFLError, match=r"'warmup_epoch' is not available\. Did you mean 'warmup_epochs'\?"):
        options.update(warmup_epoch=3)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("seed", 1.5),
        ("seed", True),
        ("clip_weights", 3),
        ("bias_lr_for_all_models", 1),
        ("iters_per_epoch", 0),
        ("warmup_epochs", -1),
        ("warmup_factor", -0.1),
        ("bias_lr_factor", float("nan")),
        ("prompt_length", 0),
        ("fast_evaluation", 1),
        ("input_size", 256),
        ("input_size", (256,)),
        ("input_size", (256, 0)),
        ("input_size", (256.0, 128)),
        ("input_size", "12"),
    ],
)
def test_impossible_values_are_refused_and_change_nothing(name, value):
    with pytest.raises(CCAFLError, match=rf"options\.{name}"):
        options.update(freeze_patch_projection=False, **{name: value})
    assert options == Options()
