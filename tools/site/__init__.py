"""What `make docs` adds to the pages in `docs/`: generated references, and checks of all."""
