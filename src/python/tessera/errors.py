# SPDX-License-Identifier: Apache-2.0
"""What the package raises: one class for each exit code of the program."""


class Error(ValueError):
    """Whatever goes wrong; str() is the message that the command line has."""
    exit_code = 1  #: what a program should end with; 1: an internal error


class UsageError(Error, TypeError):
    """An argument is wrong, or two of them do not go together."""
    exit_code = 2


class InputError(Error):
    """A config, network, trace or result file is malformed."""
    exit_code = 3


class SimulationError(Error):
    """Deadlock, livelock or watchdog."""
    exit_code = 4


class IoError(Error, OSError):
    """A file cannot be read or written."""
    exit_code = 5


class OutOfMemory(Error, MemoryError):
    """There is not enough memory."""
    exit_code = 5


class Interrupted(Error):
    """SIGINT or SIGTERM."""
    exit_code = 130
