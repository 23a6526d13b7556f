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
    package_data={"ccafl_plugin.configs": ["*.yaml", "**/*.yaml"]},
    entry_points={"console_scripts": ["ccafl-train = ccafl_train:main"]},
    install_requires=[
        "torch>=2.3",
        "torchvision>=0.18",
        "numpy>=2.0",
        "Pillow",
        "open_clip_torch>=2.24",
        "safetensors",
        "PyYAML",
        "yacs",
        # No upper bound: torchreid 1.4.0 is the upstream version, installed from its repository; keep a user's own.
        "torchreid>=0.2.5",
        # What torchreid imports but PyPI's torchreid 0.2.5 doesn't declare.
        "scipy",
        "six",
        "h5py",
        "opencv-python-headless",
        "matplotlib",
        "tensorboard",
        "gdown",
    ],
    extras_require={"test": ["pytest", "hypothesis", "ruff"]},
)
