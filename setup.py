"""Installs ccafl_plugin with everything that it and torchreid import."""

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
VERSION = re.search(r'^__version__ = "(.+)"$', (HERE / "ccafl_plugin" / "__init__.py").read_text(), re.MULTILINE)
README = HERE / "README.md"

setup(
    name="ccafl_plugin",
    version=VERSION.group(1),
    description="CLIP-based camera-agnostic feature learning (CCAFL) as a plugin for torchreid",
    long_description=README.read_text(encoding="utf-8") if README.exists() else "",
    long_description_content_type="text/markdown",
    license="MIT",
    python_requires=">=3.10",
    packages=[*find_packages(include=["ccafl_plugin", "ccafl_plugin.*"]), "ccafl_plugin.configs"],
    py_modules=["ccafl_train"],
    package_dir={"ccafl_plugin.configs": "configs"},
    package_data={"ccafl_plugin": ["weights/*.safetensors"], "ccafl_plugin.configs": ["*.yaml", "**/*.yaml"]},
    entry_points={"console_scripts": ["ccafl-train = ccafl_train:main", "ccafl-suite = ccafl_train:suite"]},
    # The lower bounds are the versions in .ci/oldest.txt, with which the tests of models and losses run too.
    install_requires=[
        "torch>=2.2",  # scaled_dot_product_attention under autocast
        "torchvision>=0.17",
        "numpy>=1.26",
        "Pillow>=9.5",
        "open_clip_torch>=2.26.1",  # transformers that take (batch, length, width)
        "safetensors>=0.4.2",
        "tabulate>=0.9.0",
        "PyYAML>=6.0.1",
        "yacs>=0.1.8",
        # No upper bound: torchreid 1.4.0 is the upstream version, installed from its repository; keep a user's own.
        "torchreid>=0.2.5",
        # What torchreid imports but PyPI's torchreid 0.2.5 doesn't declare.
        "scipy>=1.11.2",
        "h5py>=3.10",
        "opencv-python-headless>=4.8.1.78",
        "matplotlib>=3.8",
        "tensorboard>=2.15",
        "gdown>=4.7.1",
        "six>=1.16",
    ],
    extras_require={"test": ["pytest", "hypothesis", "ruff"]},
)
