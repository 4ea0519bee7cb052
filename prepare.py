"""Clean and tokenise text without training: python prepare.py --help"""

from prospero.cli import main

if __name__ == "__main__":
    main("prepare")
