"""``synthetic_persons``: rendered pedestrians before six or more cameras, in Market-1501's layout and file names.

Everything is drawn in whole numbers from one seed, so a size and a seed name the same pixels on every machine.

- ``identity``: who somebody is, and the words for it;
- ``person``, ``surfaces``, ``raster``: a body in a pose, what is painted on it, and how it gets onto a canvas;
- ``scene``, ``camera``, ``frame``: what is behind people, what a camera makes of it, and one picture of it all;
- ``network``: the cameras that a benchmark has;
- ``plan``, ``generate``: who is seen where, and the files.
"""

from ccafl_plugin.synthetic.renderer.generate import NAME, ensure, folder_of, generate
from ccafl_plugin.synthetic.renderer.picture_plan import SIZES, Size

__all__ = ["NAME", "SIZES", "Size", "ensure", "folder_of", "generate"]
