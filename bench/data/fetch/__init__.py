"""Getting databases and checkpoints: their sources, downloading, unpacking, installing.

`sources` reads `bench/data/sources.yaml`; `place.get` does the rest for one database, and
`checkpoints.get` for a method's released weights. The command line shows a database's terms and
asks the user for agreement; nothing here does.
"""
