"""CCAFL for torchreid: person re-identification from labels that hold inside one camera only.

``import ccafl_plugin`` adds the plugin's names to torchreid, once. See :func:`register`.
"""

__version__ = "0.1.0"

import warnings

with warnings.catch_warnings():
    # torchreid warns at its import that its compiled evaluator is missing; ccafl_plugin.metrics takes that place.
    warnings.filterwarnings("ignore", "Cython evaluation", UserWarning)
    from ccafl_plugin.integration import register

__all__ = ["__version__", "register"]

register()
