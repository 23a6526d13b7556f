"""A page about runs: one HTML file with its figures and pictures inside, which needs no network and no program."""
