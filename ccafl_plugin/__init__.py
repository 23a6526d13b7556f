"""CCAFL for torchreid: person re-identification from labels that hold inside one camera only.

``import ccafl_plugin`` adds the plugin's names to torchreid, once. See :func:`register`;
:func:`unregister` takes them back.
"""

__version__ = "0.2.0.dev0"

import warnings

# torchreid warns at its import that its compiled evaluator is missing; ccafl_plugin.metrics stands in for it.
warnings.filterwarnings("ignore", "Cython evaluation", UserWarning)

from ccafl_plugin.integration import register, unregister  # noqa: E402

__all__ = ["__version__", "register", "unregister"]

register()
