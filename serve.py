"""Serve trained runs to other programs: python serve.py --help"""

from prospero.cli import main

if __name__ == "__main__":
    main("serve")
