"""Measure a trained run on tasks: python evaluate.py --help"""

from prospero.cli import main

if __name__ == "__main__":
    main("evaluate")
