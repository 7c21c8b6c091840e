"""`python -m speech2lip`."""

from .cli import entry

if __name__ == "__main__":
    entry()
