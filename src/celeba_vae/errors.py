"""The one exception that stands for a user's mistake."""


class UserError(Exception):
    """Something a user can mend; its text is one line: what is wrong, where, what is allowed.

    Stages and the command line print the text without a traceback and exit with status 1.
    Every other exception is a defect of this project and keeps its traceback.
    """
