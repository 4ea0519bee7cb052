"""Write text with a trained run: python generate.py --help"""

from prospero.cli import main

if __name__ == "__main__":
    main("generate")
