"""`python -m pyslm` is the command `pyslm`."""

from pyslm.cli import main

if __name__ == "__main__":
    main()
