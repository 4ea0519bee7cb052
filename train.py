"""Train a language model: python train.py --help"""

from prospero.cli import main

if __name__ == "__main__":
    main("train")
