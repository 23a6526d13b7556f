"""Says where the packages lie; pyproject.toml says everything else.

``configs/`` stands beside the package in a checkout and becomes a part of it in a wheel. pyproject.toml can either list
packages or find them, not both. Folders that hold data only count as packages too, or setuptools warns of each.
"""

from setuptools import find_namespace_packages, find_packages, setup

CONFIGS = "ccafl_plugin.configs"

setup(
    packages=[
        *find_packages(include=["ccafl_plugin", "ccafl_plugin.*"]),
        "ccafl_plugin.weights",
        CONFIGS,
        *(f"{CONFIGS}.{folder}" for folder in find_namespace_packages("configs")),
    ],
    package_dir={CONFIGS: "configs"},
)
