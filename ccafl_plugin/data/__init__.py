"""Who is what proxy, which images make a batch, and what images look like.

Data of one's own, in reading order:

- ``image_records``: one line per image, and the numbers that torchreid wants;
- ``name_pattern``, ``own_folder``, ``own_table``: names of files, a folder, a CSV file;
- ``own_tracks``, ``mot_file``, ``picture_source``: cameras, their tracks and their pictures;
- ``crop_choice``, ``crop_cutting``: which boxes become images, and the files;
- ``own_split``: people held out of training; ``own_images``: all of this put together; ``own_dataset``: for torchreid;
- ``picture_facts``, ``label_doubts``, ``data_check``, ``picture_page``: what ``tools/check_data.py`` finds and shows.
"""

from ccafl_plugin.data.proxies import ProxyLabels

__all__ = ["ProxyLabels"]
