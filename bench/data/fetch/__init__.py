"""Getting databases and checkpoints: where they are, downloading, unpacking, putting in place.

`sources` reads `bench/data/sources.yaml`; `place.get` does the rest for one database, and
`checkpoints.get` for a method's released weights. Nothing here decides for a user: the command line
shows what a database's terms ask, and asks.
"""
