"""The commands: arguments, and calls of the functions of other rooms."""

from .commands import COMMANDS, entry, main
from .common import Command

__all__ = ["COMMANDS", "Command", "entry", "main"]
