"""What several folders need and what knows nothing of the method.

- ``errors``: mistakes that a user can mend, one line each;
- ``ranges``: what a numeric argument may be, by its name;
- ``paper_values``: the paper's values that several defaults read;
- ``dtypes``: float32 or wider, under autocast too;
- ``seeds``: random draws that can be repeated;
- ``files``: files that are whole or not there;
- ``trees``: nested settings as flat ones;
- ``distributed``: models inside torch's wrappers, and the process that writes;
- ``provenance``: what a number was computed with;
- ``allocator``: freed memory stays with a CPU run.
"""
