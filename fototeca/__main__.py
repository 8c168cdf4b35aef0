"""Run the command line: `python -m fototeca`."""

from fototeca.cli import main

if __name__ == "__main__":
    main()
