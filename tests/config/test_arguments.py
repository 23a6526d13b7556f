from __future__ import annotations

import dataclasses

from ccafl_plugin.config.arguments import option_values
from ccafl_plugin.config.tree import default_config
from ccafl_plugin.options import Options


def test_the_config_sets_every_option_and_has_its_defaults():
    values = option_values(default_config())
    differing = {"bias_lr_for_all_models"}  # follows from the loss
    assert set(values) == {field.name for field in dataclasses.fields(Options)}
    assert {name: values[name] for name in set(values) - differing} == {
        name: getattr(Options(), name) for name in set(values) - differing
    }


def test_fast_evaluation_can_be_turned_off():
    config = default_config()
    config.merge_from_list(["ccafl.fast_evaluation", False])
    assert option_values(config)["fast_evaluation"] is False
