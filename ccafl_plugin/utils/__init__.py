"""Small helpers that several folders share. Nothing here depends on the method.

- ``errors``: errors that a user can fix, one line each;
- ``ranges``: the valid range of each numeric argument;
- ``paper_values``: values of the paper that several defaults use;
- ``dtypes``: computation in float32 or wider, also under autocast;
- ``seeds``: reproducible random draws;
- ``files``: atomic writing of files;
- ``trees``: nested settings to flat ones, and back;
- ``distributed``: models inside torch's wrappers, and the process that writes files;
- ``provenance``: the code, versions and machine that computed a result;
- ``allocator``: keeps freed memory in the process of a CPU run.
"""
