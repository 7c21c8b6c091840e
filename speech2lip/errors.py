"""The one exception that reaches a user as a sentence instead of a traceback."""


class UserError(Exception):
    """Something the user gave cannot be used.

    The message is one sentence that names what was found and in which file, what is
    needed, and what to do next. Entry points print it and exit with status 2.
    """
