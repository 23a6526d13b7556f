"""Builds the documentation site: ``python -m website``, which needs the extra ``docs``.

- ``pages``: the pages of docs/ and of the checkout, with links and formulas as the site has them;
- ``formulas``: TeX to MathML, so that a browser shows formulas without a script and without a network;
- ``reference``: one page for each public module of the package, from its docstrings and types;
- ``docstrings``: an extension of griffe that turns the roles of docstrings (``:func:`` and others) into links;
- ``build``: puts it all into one folder and calls zensical, in which every warning is an error.

``mkdocs.yml`` has the order of the pages.
"""
