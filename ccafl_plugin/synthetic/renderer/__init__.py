"""``synthetic_persons``: rendered pedestrians in six or more cameras, with Market-1501's folders and file names.

All drawing uses whole numbers and one seed, so equal sizes and seeds give equal pixels on every machine.

- ``identity``: the attributes of a person, and a caption;
- ``person``, ``surfaces``, ``raster``: a body in a pose, its painted surfaces, and drawing on a canvas;
- ``scene``, ``camera``, ``frame``: the background, the effects of a camera, and one complete picture;
- ``cameras``: the cameras of a benchmark;
- ``picture_plan``, ``generate``: which camera sees which person, and the files;
- ``contact_sheet``: an overview picture; ``dice``: random numbers.
"""

from ccafl_plugin.synthetic.renderer.generate import NAME, ensure, folder_of, generate
from ccafl_plugin.synthetic.renderer.picture_plan import SIZES, Size

__all__ = ["NAME", "SIZES", "Size", "ensure", "folder_of", "generate"]
