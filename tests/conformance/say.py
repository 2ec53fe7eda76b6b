"""Words for the person at the terminal. There may be none any more: that must not end what is being done."""

import os


def say(text, code=None):
    # Not `print`: a signal's handler says something too, in the middle of another sentence.
    try:
        os.write(2, f"{text}\n".encode())
    except OSError:
        pass
    return code
