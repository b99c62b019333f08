"""`python -m stylebatch`: the command line for an interpreter whose scripts are not on the path."""

from stylebatch.cli import main

# A process that is spawned imports this module again, and must not run anything.
if __name__ == "__main__":
    main()
