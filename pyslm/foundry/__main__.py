"""`python -m pyslm.foundry` is the command `foundry`."""

from pyslm.foundry import main

if __name__ == "__main__":
    main()
