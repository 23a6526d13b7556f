"""CCAFL for torchreid: person re-identification from labels that are valid inside one camera only.

``import ccafl_plugin`` adds the plugin's names to torchreid, once (:func:`register`).
:func:`unregister` removes them and restores what they replaced.
"""

__version__ = "0.2.0.dev0"

import warnings

# torchreid warns at import that its compiled evaluator is missing; ccafl_plugin.metrics replaces that evaluator.
warnings.filterwarnings("ignore", "Cython evaluation", UserWarning)

from ccafl_plugin.integration import register, unregister  # noqa: E402

__all__ = ["__version__", "register", "unregister"]

register()
