"""`python -m prospero <verb>`."""

from prospero.cli import main

if __name__ == "__main__":
    main()
